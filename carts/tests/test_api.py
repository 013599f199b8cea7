"""REST below a branch: carts, rentals, statistics; who sees what, and what it costs."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from carts.enums import CartCondition, LockState, RentalStatus
from carts.models import Cart, Rental
from carts.selectors import carts_visible_to
from carts.tests.factories import make_cart, make_rental
from devices.enums import DeviceState
from devices.models import Device
from devices.tests.api_client import Api
from devices.tests.messages import wire_time
from tenants.models import User
from tenants.services import create_personal_token
from tenants.tests.factories import People, make_grant, make_people

pytestmark = pytest.mark.django_db

LEAVES = ["carts", "rentals/active", "rentals/history", "rentals/stats", "stats"]


@pytest.fixture
def people(db: None) -> People:
    """Dora is a customer of our branch."""
    people = make_people()
    make_grant(user=people.dora, role="customer", branch=people.branch)
    return people


@pytest.fixture
def cart(people: People) -> Cart:
    return make_cart(branch=people.branch, cart_number=1)


def get(user: Any, people: People, leaf: str, **query: Any) -> Any:
    return Api(user).get(f"branches/{people.branch.pk}/{leaf}", **query)


def numbers(response: Any) -> list[int]:
    assert response.status_code == 200, response.content
    return [row["cart_number"] for row in response.json()["results"]]


# Who.


@pytest.mark.parametrize("leaf", LEAVES)
def test_managers_of_the_branch_are_let_in_and_strangers_find_nothing(people: People, cart: Cart, leaf: str) -> None:
    make_rental(cart=cart)
    users = (people.alice, people.bob, people.erin, people.charlie, None)

    assert [get(user, people, leaf).status_code for user in users] == [200, 200, 200, 404, 401]


def test_another_tenants_cart_does_not_exist(people: People, cart: Cart) -> None:
    strange = make_cart(branch=people.strange_branch)

    pairs = [
        (get(people.alice, people, f"carts/{strange.pk}"), get(people.alice, people, f"carts/{uuid4()}")),
        (_carts_of(people.alice, people.strange_branch.pk), _carts_of(people.alice, uuid4())),
    ]

    for theirs, nowhere in pairs:
        assert (theirs.status_code, nowhere.status_code) == (404, 404)
        assert theirs.json() | {"request_id": ""} == nowhere.json() | {"request_id": ""}


def _carts_of(user: User, branch_id: UUID) -> HttpResponse:
    return Api(user).get(f"branches/{branch_id}/carts")


def test_customer_of_the_branch_sees_the_carts_that_are_free(people: People, cart: Cart) -> None:
    for number, fields in enumerate(
        [{"condition": "suspect"}, {"lock_state": "unlocked"}, {"present": False}, {"status": "rented"}], start=2
    ):
        make_cart(controller=cart.controller, cart_number=number, **fields)

    assert numbers(get(people.dora, people, "carts")) == [1]
    assert numbers(get(people.alice, people, "carts")) == [1, 2, 3, 4, 5]


def test_customer_whose_grant_is_over_finds_no_branch_and_no_cart(people: People, cart: Cart) -> None:
    before = get(people.dora, people, "carts").status_code

    people.dora.grants.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert (before, get(people.dora, people, "carts").status_code) == (200, 404)
    assert Api(people.dora).get("branches").json()["results"] == []
    assert not carts_visible_to(User.objects.get(pk=people.dora.pk), people.branch).exists()


@pytest.mark.parametrize("state", [state for state in DeviceState if state != DeviceState.ACTIVE])
def test_cart_behind_a_pi_that_is_not_let_in_is_not_free(people: People, cart: Cart, state: str) -> None:
    Device.objects.update(state=state)

    assert numbers(get(people.dora, people, "carts")) == []


def test_customer_sees_own_rentals_only(people: People, cart: Cart) -> None:
    own = make_rental(cart=cart, customer=people.dora)
    make_rental(cart=make_cart(controller=cart.controller, cart_number=2))
    make_rental(cart=make_cart(controller=cart.controller, cart_number=3), status=RentalStatus.RETURNED)

    active, history = (get(people.dora, people, f"rentals/{leaf}").json()["results"] for leaf in ("active", "history"))

    assert [row["rental_id"] for row in active] == [str(own.pk)]
    assert history == []
    assert [get(people.dora, people, leaf).status_code for leaf in ("stats", "rentals/stats")] == [404, 404]


def test_phone_is_whole_for_its_owner_and_masked_for_others(people: People, cart: Cart) -> None:
    make_rental(cart=cart, customer=people.dora)

    [own] = get(people.dora, people, "rentals/active").json()["results"]
    [seen] = get(people.alice, people, "rentals/active").json()["results"]

    assert own["user_phone"] == people.dora.phone
    assert seen["user_phone"] == people.dora.masked_phone != people.dora.phone


def test_customer_does_not_read_what_staff_wrote(people: People, cart: Cart) -> None:
    words = {"end_reason": "drunk again", "notes": "call the police"}
    make_rental(cart=cart, customer=people.dora, status=RentalStatus.CLOSED_BY_STAFF, **words)
    Cart.objects.update(maintenance_notes="stolen twice")

    [own] = get(people.dora, people, "rentals/history").json()["results"]
    [seen] = get(people.alice, people, "rentals/history").json()["results"]
    carts = [get(user, people, f"carts/{cart.pk}").json() for user in (people.dora, people.alice)]

    assert {name: own[name] for name in words} == {"end_reason": "", "notes": ""}
    assert {name: seen[name] for name in words} == words
    assert [row["maintenance_notes"] for row in carts] == ["", "stolen twice"]


def test_manager_who_rents_elsewhere_reads_only_what_the_own_staff_wrote(people: People) -> None:
    """Of one person's rentals, some are seen as staff and some as their customer."""
    for branch in (people.branch, people.strange_branch):
        make_grant(user=people.alice, role="customer", branch=branch)
        status = RentalStatus.CLOSED_BY_STAFF
        make_rental(cart=make_cart(branch=branch), customer=people.alice, status=status, end_reason="lost it")

    rows = [
        Api(people.alice).get(f"branches/{branch.pk}/rentals/history").json()["results"]
        for branch in (people.branch, people.strange_branch)
    ]

    assert [[row["end_reason"] for row in each] for each in rows] == [["lost it"], [""]]


# What.


def test_cart_has_the_shape_it_is_documented_with(people: People, cart: Cart) -> None:
    body = get(people.alice, people, f"carts/{cart.pk}").json()

    assert body == {
        "id": str(cart.pk),
        "branch_id": str(people.branch.pk),
        "cart_number": 1,
        "controller_id": str(cart.controller_id),
        "locker_id": 0,
        "status": "available",
        "condition": "ok",
        "is_locked": True,
        "lock_state": "locked",
        "present": True,
        "last_used": None,
        "maintenance_notes": "",
    }


def test_rental_has_the_shape_it_is_documented_with(people: People, cart: Cart) -> None:
    rental = make_rental(cart=cart, status=RentalStatus.RETURNED)

    [row] = get(people.alice, people, "rentals/history").json()["results"]

    assert set(row) == {
        "rental_id",
        "branch_id",
        "cart_id",
        "cart_number",
        "user_phone",
        "status",
        "created_at",
        "start_time",
        "expected_return",
        "actual_return",
        "duration_minutes",
        "end_reason",
        "notes",
    }
    assert (row["rental_id"], row["cart_number"], row["duration_minutes"]) == (str(rental.pk), 1, 60)


def test_open_and_ended_rentals_are_told_apart(people: People, cart: Cart) -> None:
    for number, status in enumerate(RentalStatus.values, start=2):
        make_rental(cart=make_cart(controller=cart.controller, cart_number=number), status=status)

    active, history = (get(people.alice, people, f"rentals/{leaf}").json()["results"] for leaf in ("active", "history"))

    assert {row["status"] for row in active} == {"pending_unlock", "active", "overdue"}
    assert {row["status"] for row in history} == {"returned", "voided", "closed_by_staff"}


def test_statistics_count_what_there_is(people: People, cart: Cart) -> None:
    for number, status in enumerate(RentalStatus.values, start=2):
        make_rental(cart=make_cart(controller=cart.controller, cart_number=number), status=status)
    make_cart(controller=cart.controller, cart_number=20, condition=CartCondition.SUSPECT)
    make_cart(controller=cart.controller, cart_number=21, condition=CartCondition.MAINTENANCE)
    make_rental(cart=make_cart(branch=people.strange_branch))

    stats = get(people.alice, people, "stats").json()

    assert stats["carts"] == {"total": 9, "available": 4, "rented": 2, "suspect": 1, "maintenance": 1}
    assert stats["devices"] == {"total": 1, "connected": 1}
    assert stats["rentals"] == get(people.alice, people, "rentals/stats").json()
    assert stats["rentals"] == {
        "total": 6,
        "active": 2,
        "overdue": 1,
        "returned": 1,
        "voided": 1,
        "closed_by_staff": 1,
        "average_minutes": 60.0,
    }


def test_branch_statistics_are_of_one_day(people: People, cart: Cart) -> None:
    make_rental(cart=cart, status=RentalStatus.RETURNED)
    Rental.objects.update(created_at=timezone.now() - timedelta(hours=25))

    assert get(people.alice, people, "stats").json()["rentals"]["total"] == 0
    assert get(people.alice, people, "rentals/stats").json()["total"] == 1


# Filters, paging, bad input.


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"condition": "suspect"}, [2]),
        ({"lock_state": "unlocked"}, [3]),
        ({"status": "available", "cart_number": 1}, [1]),
        ({"page_size": 2}, [1, 2]),
        ({"page_size": 2, "page": 2}, [3]),
    ],
)
def test_carts_are_filtered_and_paged(people: People, cart: Cart, query: dict[str, Any], expected: list[int]) -> None:
    make_cart(controller=cart.controller, cart_number=2, condition=CartCondition.SUSPECT)
    make_cart(controller=cart.controller, cart_number=3, lock_state=LockState.UNLOCKED)

    assert numbers(get(people.alice, people, "carts", **query)) == expected


def test_rentals_are_filtered_by_state_cart_and_time(people: People, cart: Cart) -> None:
    old = make_rental(cart=cart, status=RentalStatus.VOIDED)
    Rental.objects.update(created_at=timezone.now() - timedelta(days=2))
    make_rental(cart=make_cart(controller=cart.controller, cart_number=2), status=RentalStatus.RETURNED)
    yesterday = wire_time(timezone.now() - timedelta(days=1))
    queries: list[tuple[dict[str, Any], list[int]]] = [
        ({"status": "voided"}, [1]),
        ({"cart_number": 2}, [2]),
        ({"cart": str(old.cart_id)}, [1]),
        ({"created_after": yesterday}, [2]),
        ({"created_before": yesterday}, [1]),
        ({}, [2, 1]),
    ]

    found = [numbers(get(people.alice, people, "rentals/history", **query)) for query, _ in queries]

    assert found == [expected for _, expected in queries]


@pytest.mark.parametrize(
    ("leaf", "query"),
    [
        ("carts", {"condition": "sad"}),
        ("carts", {"cart_number": "x"}),
        ("carts", {"page": "last-but-one"}),
        ("rentals/history", {"status": "nonsense"}),
        ("rentals/history", {"created_after": "yesterday"}),
        ("rentals/active", {"cart": "1"}),
    ],
)
def test_bad_query_gets_the_envelope(people: People, cart: Cart, leaf: str, query: dict[str, Any]) -> None:
    response = get(people.alice, people, leaf, **query)

    assert response.status_code in (400, 404)
    assert set(response.json()) == {"type", "title", "status", "detail", "errors", "request_id"}


# Cost.


@pytest.mark.parametrize("leaf", LEAVES)
def test_lists_cost_the_same_for_one_row_and_for_three(people: People, cart: Cart, leaf: str) -> None:
    def add(number: int) -> None:
        for status in (RentalStatus.ACTIVE, RentalStatus.RETURNED):
            make_rental(cart=make_cart(controller=cart.controller, cart_number=number), status=status)
            number += 1

    api, path = Api(people.alice), f"branches/{people.branch.pk}/{leaf}"
    costs = []
    for number in (10, 20, 30):
        add(number)
        with CaptureQueriesContext(connection) as captured:
            assert api.get(path).status_code == 200
        costs.append(len(captured))

    assert costs[0] == costs[2] <= 8


def test_program_rents_only_with_a_token_that_carries_it(people: People, cart: Cart) -> None:
    """A token that a report leaked opens no lock in its owner's name."""
    soon = timezone.now() + timedelta(days=1)
    answers = []
    for scopes in (["rentals:view", "rentals:return"], ["rentals:view", "rentals:add"]):
        _, secret = create_personal_token(user=people.dora, name="Program", scopes=scopes, expires_at=soon)
        program = Client(headers={"Authorization": f"Bearer {secret}", "Idempotency-Key": secret[-20:]})
        address = f"/api/branches/{people.branch.pk}/carts/assign"
        answers.append(program.post(address, {"cart_number": 1}, content_type="application/json").status_code)

    assert answers == [403, 201]


def test_assign_stays_within_its_budget(people: People, cart: Cart) -> None:
    api = Api(people.dora)

    with CaptureQueriesContext(connection) as captured:
        response = api.post(f"branches/{people.branch.pk}/carts/assign", {"cart_number": 1}, key="k")

    assert response.status_code == 201
    assert len(captured) <= 20
