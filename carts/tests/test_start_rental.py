"""From a tap to a queued unlock, over HTTP: once, whatever happens."""

from collections.abc import Iterator
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.http import HttpResponse

from carts import services
from carts.enums import CartCondition, CartStatus, LockState, RentalStatus
from carts.models import Cart, Rental
from carts.services.rentals import CartNotFree
from carts.tests.factories import make_cart, make_rental
from core.models import IdempotencyKey, StateChange
from core.tests.race import DEADLINE_S, lock_no_rows, race, race_each, without_unique
from devices.enums import CommandStatus
from devices.models import Command, Presence
from devices.services import revoke_device
from devices.tests.api_client import Api
from tenants.models import Grant, User
from tenants.tests.factories import make_branch, make_chain, make_phone, make_user

pytestmark = pytest.mark.django_db


def make_customer() -> User:
    return make_user(phone=make_phone())


def assign(api: Api, cart: Cart, *, key: str | None = "key-1", **body: Any) -> HttpResponse:
    return api.post(f"branches/{cart.branch_id}/carts/assign", body or {"cart_id": str(cart.pk)}, key=key)


def counts() -> tuple[int, int]:
    return Rental.objects.count(), Command.objects.count()


# The happy path.


@pytest.mark.parametrize("by", ["cart_id", "cart_number"])
def test_assign_reserves_the_cart_and_queues_its_unlock(by: str) -> None:
    cart, customer = make_cart(), make_customer()
    body = {"cart_id": str(cart.pk)} if by == "cart_id" else {"cart_number": cart.cart_number}

    response = assign(Api(customer), cart, **body)

    rental, command = Rental.objects.get(), Command.objects.get()
    assert response.status_code == 201
    assert response.json() == {
        "rental_id": str(rental.pk),
        "status": "pending_unlock",
        "cart": {"id": str(cart.pk), "cart_number": cart.cart_number, "public_code": cart.public_code},
    }
    assert (rental.status, rental.customer, rental.branch) == (RentalStatus.PENDING_UNLOCK, customer, cart.branch)
    assert (rental.start_time, rental.expected_return, rental.unlock_command) == (None, None, command)
    assert (command.type, command.status, command.target_id) == ("unlock", CommandStatus.QUEUED, cart.pk)
    assert command.connection_id == Presence.objects.get().connection_id
    cart.refresh_from_db()
    assert cart.status == CartStatus.RESERVED
    change = StateChange.objects.get(entity_id=cart.pk)
    assert (change.from_state, change.to_state, change.actor) == ("available", "reserved", str(customer.pk))


def test_whoever_rents_becomes_a_customer_of_the_branch() -> None:
    cart, customer = make_cart(), make_customer()

    assign(Api(customer), cart)

    grant = Grant.objects.get(user=customer)
    assert (grant.role.code, grant.branch) == ("customer", cart.branch)


def test_failure_on_the_way_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    cart, customer = make_cart(), make_customer()

    def break_off(**kwargs: object) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr("carts.services.rentals.ensure_customer_grant", break_off)
    with pytest.raises(RuntimeError):
        services.start_rental(cart=cart, customer=customer, idempotency_key="key-1")

    cart.refresh_from_db()
    assert (counts(), cart.status) == ((0, 0), CartStatus.AVAILABLE)
    assert not StateChange.objects.exists()
    assert not IdempotencyKey.objects.exists()


def test_key_of_a_failed_try_may_be_used_again() -> None:
    cart, customer = make_cart(condition=CartCondition.SUSPECT), make_customer()
    refused = assign(Api(customer), cart)
    Cart.objects.update(condition=CartCondition.OK)

    assert (refused.status_code, assign(Api(customer), cart).status_code) == (409, 201)


# One intent, one effect.


def test_same_key_twice_is_one_rental_with_the_same_answer() -> None:
    cart, api = make_cart(), Api(make_customer())

    first, second = assign(api, cart), assign(api, cart)

    assert (first.status_code, second.status_code, counts()) == (201, 201, (1, 1))
    assert first.content == second.content


def test_same_key_with_another_body_is_refused() -> None:
    cart, api = make_cart(), Api(make_customer())
    other = make_cart(controller=cart.controller)
    assign(api, cart)

    response = assign(api, other)

    assert (response.status_code, response.json()["type"]) == (422, "urn:cartwise:problem:idempotency-key-reused")
    assert counts() == (1, 1)


def test_same_key_of_two_people_is_two_intents() -> None:
    cart = make_cart()
    other = make_cart(controller=cart.controller)

    statuses = [assign(Api(make_customer()), row).status_code for row in (cart, other)]

    assert (statuses, counts()) == ([201, 201], (2, 2))


@pytest.mark.parametrize("key", [None, "", " ", "x" * 201])
def test_assign_without_a_proper_key_is_refused(key: str | None) -> None:
    cart = make_cart()

    response = assign(Api(make_customer()), cart, key=key)

    assert (response.status_code, list(response.json()["errors"])) == (400, ["Idempotency-Key"])
    assert counts() == (0, 0)


def fifty_taps() -> set[tuple[int, bytes]]:
    cart, api = make_cart(), Api(make_customer())
    answers = race(lambda: assign(api, cart), times=50)
    return {(answer.status_code, answer.content) for answer in answers}


@pytest.mark.django_db(transaction=True)
def test_fifty_taps_at_once_are_one_rental_with_one_answer() -> None:
    answers = fifty_taps()

    assert [status for status, _ in answers] == [201]
    assert counts() == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_fifty_taps_at_once_are_one_rental_with_one_answer_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the claim on the key all but one get another answer."""
    monkeypatch.setattr("core.idempotency._claim", lambda *args: True)

    assert {status for status, _ in fifty_taps()} == {201, 409}


# Two people, one cart.


def two_customers_at_once() -> list[Any]:
    cart = make_cart()
    return race_each(
        [
            lambda customer=make_customer(): services.start_rental(
                cart=cart, customer=customer, idempotency_key=uuid4().hex
            )
            for _ in range(2)
        ]
    )


def losers(answers: list[Any]) -> list[type]:
    return [type(answer) for answer in answers if isinstance(answer, Exception)]


@pytest.mark.django_db(transaction=True)
def test_two_customers_at_once_for_one_cart_one_wins() -> None:
    answers = two_customers_at_once()

    assert losers(answers) == [CartNotFree]
    assert counts() == (1, 1)


@pytest.fixture
def no_row_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seeded bug: both read the cart before either writes."""
    both_read = Barrier(2)
    require_free = services.rentals._require_free

    def require_free_together(cart: Cart) -> None:
        require_free(cart)
        both_read.wait(DEADLINE_S)

    lock_no_rows(monkeypatch)
    monkeypatch.setattr("carts.services.rentals._require_free", require_free_together)


@pytest.fixture
def no_constraint(transactional_db: None) -> Iterator[None]:
    with without_unique(Rental, "one_open_rental_per_cart"):
        yield


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("no_row_lock")
def test_two_customers_at_once_for_one_cart_one_wins_control() -> None:
    """Without the cart's lock the loser is not told that the cart is taken; only the constraint still holds."""
    assert losers(two_customers_at_once()) == [IntegrityError]
    assert Rental.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("no_row_lock", "no_constraint")
def test_two_customers_at_once_for_one_cart_one_wins_control_without_constraint() -> None:
    """With neither, one cart is rented twice."""
    assert losers(two_customers_at_once()) == []
    assert counts() == (2, 2)


@pytest.mark.parametrize("open_", [RentalStatus.PENDING_UNLOCK, RentalStatus.ACTIVE, RentalStatus.OVERDUE])
def test_database_refuses_a_second_open_rental(open_: str) -> None:
    rental = make_rental(status=open_)

    with pytest.raises(IntegrityError, match="one_open_rental_per_cart"), transaction.atomic():
        make_rental(cart=rental.cart, status=RentalStatus.PENDING_UNLOCK)


def test_database_takes_any_number_of_ended_rentals() -> None:
    cart = make_cart()

    for status in (RentalStatus.RETURNED, RentalStatus.VOIDED, RentalStatus.CLOSED_BY_STAFF, RentalStatus.RETURNED):
        make_rental(cart=cart, status=status)

    assert Rental.objects.count() == 4


@pytest.mark.parametrize("started", [RentalStatus.ACTIVE, RentalStatus.OVERDUE, RentalStatus.RETURNED])
def test_database_refuses_a_started_rental_without_times(started: str) -> None:
    with pytest.raises(IntegrityError, match="rental_started_has_times"), transaction.atomic():
        make_rental(status=started, start_time=None)


# Carts that can't be had.


def _unfit(why: str) -> Cart:
    match why:
        case "reserved" | "rented" | "returned":
            return make_cart(status=why)
        case "suspect" | "maintenance":
            return make_cart(condition=why)
        case "open":
            return make_cart(lock_state=LockState.UNLOCKED)
        case "absent":
            return make_cart(present=False)
        case "without a lock":
            cart = make_cart()
            Cart.objects.filter(pk=cart.pk).update(controller=None)
            return cart
    raise AssertionError(why)


@pytest.mark.parametrize(
    "why", ["reserved", "rented", "returned", "suspect", "maintenance", "open", "absent", "without a lock"]
)
def test_cart_that_is_not_fit_is_refused(why: str) -> None:
    cart = _unfit(why)

    response = assign(Api(make_customer()), cart)

    assert (response.status_code, response.json()["type"]) == (409, "urn:cartwise:problem:cart-not-free")
    assert counts() == (0, 0)


@pytest.mark.parametrize("lock_state", [LockState.LOCKED, LockState.UNKNOWN])
@pytest.mark.parametrize("present", [True, None])
def test_cart_whose_sensor_says_little_can_be_had(lock_state: str, present: bool | None) -> None:
    cart = make_cart(lock_state=lock_state, present=present)

    assert assign(Api(make_customer()), cart).status_code == 201


@pytest.mark.parametrize("why", ["away", "revoked"])
def test_cart_whose_pi_is_out_of_reach_is_refused(why: str) -> None:
    cart = make_cart()
    if why == "away":
        Presence.objects.update(connection_id=None)
    else:
        assert cart.controller is not None
        revoke_device(device=cart.controller.device, actor=make_user())

    response = assign(Api(make_customer()), cart)

    cart.refresh_from_db()
    assert (response.status_code, response.json()["type"]) == (503, "urn:cartwise:problem:unavailable")
    assert (counts(), cart.status) == ((0, 0), CartStatus.AVAILABLE)


@pytest.mark.parametrize("closed", ["branch", "chain"])
def test_closed_shop_does_not_exist_for_customers(closed: str) -> None:
    branch = make_branch(active=False) if closed == "branch" else make_branch(chain=make_chain(active=False))
    cart = make_cart(branch=branch)

    assert assign(Api(make_customer()), cart).status_code == 404
    with pytest.raises(CartNotFree):
        services.start_rental(cart=cart, customer=make_customer(), idempotency_key="k")
    assert counts() == (0, 0)


def test_cart_of_another_branch_is_not_found() -> None:
    cart, elsewhere = make_cart(), make_branch()

    response = Api(make_customer()).post(f"branches/{elsewhere.pk}/carts/assign", {"cart_id": str(cart.pk)}, key="k")

    assert (response.status_code, counts()) == (404, (0, 0))


def test_nobody_gets_no_cart() -> None:
    assert assign(Api(None), make_cart()).status_code == 401


@pytest.mark.parametrize(
    "body",
    [{}, {"cart_number": 1, "cart_id": str(uuid4())}, {"cart_number": -1}, {"cart_id": "x"}, {"cart_number": "\0"}],
)
def test_bad_choice_of_a_cart_gets_the_envelope(body: dict[str, Any]) -> None:
    cart = make_cart()

    response = Api(make_customer()).post(f"branches/{cart.branch_id}/carts/assign", body, key="k")

    answer = response.json()
    assert response.status_code == 400
    assert set(answer) == {"type", "title", "status", "detail", "errors", "request_id"}
    assert answer["errors"]
    assert counts() == (0, 0)
