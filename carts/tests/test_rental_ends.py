"""How rentals end: by the customer's word and the lock's, by staff, by the clock, by “it did not open”."""

from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.utils import timezone

from carts import services
from carts.enums import CartCondition, CartStatus, LockState, RentalStatus
from carts.models import Cart, Rental
from carts.tests.conftest import Capture, Pi
from carts.tests.factories import make_cart, make_rental
from core.errors import DomainError, InvalidInput
from core.models import StateChange
from core.tests.race import race, race_each
from devices.enums import CommandStatus
from devices.models import Command
from devices.tests.api_client import Api
from tenants.models import Branch, User
from tenants.tests.factories import make_grant, make_phone, make_user

pytestmark = pytest.mark.django_db


def give_back(rental: Rental, *, key: str = "return-1", user: User | None = None) -> HttpResponse:
    path = f"branches/{rental.branch_id}/carts/return"
    return Api(user or rental.customer).post(path, {"cart_id": str(rental.cart_id)}, key=key)


def latch(rental: Rental, *, present: bool | None = True) -> None:
    """The cart is in its place, but nobody has drawn the conclusion yet."""
    Cart.objects.filter(pk=rental.cart_id).update(lock_state=LockState.LOCKED, present=present)


def after(rental: Rental) -> tuple[str, str, str]:
    rental.refresh_from_db()
    rental.cart.refresh_from_db()
    return rental.status, rental.cart.status, rental.cart.condition


def reasons(rental: Rental) -> list[tuple[str, str, str]]:
    rows = StateChange.objects.filter(entity_id=rental.pk).order_by("pk")
    return list(rows.values_list("to_state", "reason", "actor"))


RETURNED = (RentalStatus.RETURNED, CartStatus.AVAILABLE, CartCondition.OK)
STILL_OUT = (RentalStatus.ACTIVE, CartStatus.RENTED, CartCondition.OK)


# The customer's word.


def test_return_with_the_lock_closed_ends_the_rental() -> None:
    rental = make_rental()
    latch(rental)

    response = give_back(rental)

    body = response.json()
    assert (response.status_code, body["rental_id"], body["status"]) == (200, str(rental.pk), "returned")
    assert (body["duration_minutes"], body["user_phone"]) == (60, rental.customer.phone)
    assert after(rental) == RETURNED


def test_cart_can_be_returned_to_a_shop_that_has_closed_and_a_repeat_says_the_same() -> None:
    rental = make_rental()
    latch(rental)
    Branch.objects.filter(pk=rental.branch_id).update(active=False)

    first, again = give_back(rental), give_back(rental)

    assert [(one.status_code, one.json()["status"]) for one in (first, again)] == [(200, "returned")] * 2


@pytest.mark.parametrize(
    ("lock_state", "present"), [("unlocked", True), ("unlocked", False), ("locked", False), ("unknown", None)]
)
def test_return_without_the_locks_word_is_refused(lock_state: str, present: bool | None) -> None:
    rental = make_rental()
    Cart.objects.update(lock_state=lock_state, present=present)

    response = give_back(rental)

    assert (response.status_code, response.json()["type"]) == (409, "urn:cartwise:problem:not-returned")
    assert after(rental) == STILL_OUT


def test_refused_return_may_be_tried_again_with_the_same_key() -> None:
    rental = make_rental()
    refused = give_back(rental)
    latch(rental)

    assert (refused.status_code, give_back(rental).status_code) == (409, 200)


@pytest.mark.parametrize("second_key", ["return-1", "return-2"])
def test_return_twice_is_once_with_the_same_answer(second_key: str) -> None:
    rental = make_rental()
    latch(rental)

    first, second = give_back(rental), give_back(rental, key=second_key)

    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert len(reasons(rental)) == 1


def test_return_after_the_lock_said_it_by_itself_is_fine(pi: Pi) -> None:
    rental = make_rental()
    pi.reports(rental.cart, lock="locked", present=True, seq=5)

    assert give_back(rental).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_customer_and_lock_at_once_end_the_rental_once() -> None:
    rental = make_rental()
    latch(rental)

    race_each(
        [
            lambda: give_back(rental),
            lambda: services.rentals.note_lock_report(cart_id=rental.cart_id, lock="locked", present=True, seq=9),
            lambda: give_back(rental, key="return-2"),
        ]
    )

    assert after(rental) == RETURNED
    assert len(reasons(rental)) == 1


def test_return_of_somebody_elses_rental_is_not_found() -> None:
    rental = make_rental()
    latch(rental)
    stranger, neighbour = make_user(phone=make_phone()), make_user(phone=make_phone())
    make_grant(user=neighbour, role="customer", branch=rental.branch)

    assert [give_back(rental, user=user).status_code for user in (stranger, neighbour)] == [404, 404]
    assert after(rental) == STILL_OUT


def test_return_key_used_for_another_cart_is_refused() -> None:
    rental, other = make_rental(), make_rental()
    latch(rental)
    give_back(rental)
    Rental.objects.filter(pk=other.pk).update(customer=rental.customer)

    assert give_back(Rental.objects.get(pk=other.pk)).status_code == 422


# Staff.


def test_staff_close_a_rental_whose_cart_is_gone() -> None:
    rental, staff = make_rental(), make_user()

    services.close_rental(rental=rental, reason=" customer left it at the bus stop ", actor=staff)

    assert after(rental) == (RentalStatus.CLOSED_BY_STAFF, CartStatus.AVAILABLE, CartCondition.SUSPECT)
    assert reasons(rental) == [("closed_by_staff", "customer left it at the bus stop", str(staff.pk))]
    assert rental.actual_return is not None


def test_staff_close_a_rental_whose_cart_is_back() -> None:
    rental = make_rental()
    latch(rental)

    services.close_rental(rental=rental, reason="sensor slow", actor=make_user())

    assert after(rental) == (RentalStatus.CLOSED_BY_STAFF, CartStatus.AVAILABLE, CartCondition.OK)


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_staff_must_say_why(reason: str) -> None:
    rental = make_rental()

    with pytest.raises(InvalidInput):
        services.close_rental(rental=rental, reason=reason, actor=make_user())

    assert after(rental) == STILL_OUT


def test_staff_wait_while_the_lock_is_being_opened() -> None:
    rental = make_rental(status=RentalStatus.PENDING_UNLOCK)

    with pytest.raises(DomainError):
        services.close_rental(rental=rental, reason="why not", actor=make_user())

    assert after(rental)[0] == RentalStatus.PENDING_UNLOCK


@pytest.mark.parametrize("ended", [RentalStatus.RETURNED, RentalStatus.VOIDED, RentalStatus.CLOSED_BY_STAFF])
def test_closing_an_ended_rental_changes_nothing(ended: str) -> None:
    rental = make_rental(status=ended)
    before = after(rental)

    services.close_rental(rental=rental, reason="again", actor=make_user())

    assert (after(rental), reasons(rental)) == (before, [])


# The clock.


def test_rental_past_its_time_is_overdue_and_still_runs(pi: Pi) -> None:
    late = make_rental(expected_return=timezone.now() - timedelta(seconds=1))
    in_time = make_rental(expected_return=timezone.now() + timedelta(minutes=1))

    swept = [services.sweep_overdue_rentals(), services.sweep_overdue_rentals()]

    assert swept == [1, 0]
    assert (after(late)[0], after(in_time)[0]) == (RentalStatus.OVERDUE, RentalStatus.ACTIVE)
    pi.reports(late.cart, lock="locked", present=True, seq=5)
    assert after(late) == RETURNED


@pytest.mark.django_db(transaction=True)
def test_two_sweepers_mark_each_rental_once() -> None:
    rentals = [make_rental(expected_return=timezone.now() - timedelta(seconds=1)) for _ in range(3)]

    swept = race(services.sweep_overdue_rentals, times=3)

    assert sum(swept) == 3
    assert [reasons(rental) for rental in rentals] == [[("overdue", "", "clock")]] * 3


# “It did not open.”


def not_opened(rental: Rental, capture: Capture) -> Any:
    with capture(execute=True):
        return services.report_not_opened(rental=rental, customer=rental.customer)


def test_rental_that_just_began_is_voided(django_capture_on_commit_callbacks: Capture) -> None:
    rental = make_rental(start_time=timezone.now() - timedelta(minutes=2))
    Cart.objects.update(present=True)

    not_opened(rental, django_capture_on_commit_callbacks)

    assert after(rental) == (RentalStatus.VOIDED, CartStatus.AVAILABLE, CartCondition.SUSPECT)
    assert reasons(rental) == [("voided", "customer: did not open", str(rental.customer_id))]
    rental.refresh_from_db()
    assert rental.end_reason == "customer: did not open"


@pytest.mark.parametrize("present", [False, None])
def test_rental_whose_cart_is_not_seen_in_its_place_is_not_voided(present: bool | None) -> None:
    rental = make_rental(start_time=timezone.now())
    Cart.objects.update(present=present)

    with pytest.raises(DomainError):
        services.report_not_opened(rental=rental, customer=rental.customer)

    assert after(rental) == STILL_OUT


def test_rental_that_began_long_ago_is_not_voided() -> None:
    rental = make_rental(start_time=timezone.now() - timedelta(minutes=3, seconds=1))
    Cart.objects.update(present=True)

    with pytest.raises(DomainError):
        services.report_not_opened(rental=rental, customer=rental.customer)

    assert after(rental) == STILL_OUT


def test_unlock_that_was_never_sent_is_cancelled_at_once(django_capture_on_commit_callbacks: Capture) -> None:
    rental = make_rental(status=RentalStatus.PENDING_UNLOCK)

    not_opened(rental, django_capture_on_commit_callbacks)

    assert after(rental) == (RentalStatus.VOIDED, CartStatus.AVAILABLE, CartCondition.OK)
    assert Command.objects.get().status == CommandStatus.CANCELLED


@pytest.mark.parametrize("status", [CommandStatus.SENT, CommandStatus.ACKED])
def test_unlock_under_way_is_cancelled_by_asking_and_the_rental_waits(
    django_capture_on_commit_callbacks: Capture, status: str
) -> None:
    rental = make_rental(status=RentalStatus.PENDING_UNLOCK)
    Command.objects.update(status=status)

    not_opened(rental, django_capture_on_commit_callbacks)

    assert after(rental)[0] == RentalStatus.PENDING_UNLOCK
    assert Command.objects.get(type="cancel").args == {"command_id": str(rental.unlock_command_id)}


def test_unlock_that_opened_all_the_same_starts_the_rental(pi: Pi, django_capture_on_commit_callbacks: Capture) -> None:
    """The cancel came too late: the lock's word stands."""
    rental = make_rental(status=RentalStatus.PENDING_UNLOCK)
    Command.objects.update(status=CommandStatus.SENT)
    not_opened(rental, django_capture_on_commit_callbacks)

    pi.answers(rental, "done")

    assert rental.status == RentalStatus.ACTIVE


@pytest.mark.parametrize(
    "status", [RentalStatus.OVERDUE, RentalStatus.RETURNED, RentalStatus.VOIDED, RentalStatus.CLOSED_BY_STAFF]
)
def test_any_other_rental_is_left_as_it_is(status: str) -> None:
    rental = make_rental(status=status)
    before = after(rental)

    services.report_not_opened(rental=rental, customer=rental.customer)

    assert (after(rental), reasons(rental)) == (before, [])


def test_cart_is_checked_before_the_next_customer(django_capture_on_commit_callbacks: Capture) -> None:
    rental = make_rental(cart=make_cart(), start_time=timezone.now())
    Cart.objects.update(present=True)
    not_opened(rental, django_capture_on_commit_callbacks)

    with pytest.raises(DomainError):
        services.start_rental(cart=rental.cart, customer=make_user(), idempotency_key="next")
