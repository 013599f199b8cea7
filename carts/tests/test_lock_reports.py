"""What the lock says, in the order it was said; a closed hook with its cart ends a rental."""

import itertools

import pytest

from carts.enums import CartStatus, LockState, RentalStatus
from carts.models import Cart, Rental
from carts.services import place_cart
from carts.services.rentals import note_lock_report
from carts.tests.conftest import Capture, Pi
from carts.tests.factories import make_cart, make_rental
from core.models import StateChange
from core.tests.race import race
from devices.services import create_enrolment_code, register_device
from devices.tests.factories import make_controller, make_device

pytestmark = pytest.mark.django_db


def seen(cart: Cart) -> tuple[str, bool | None, int]:
    return cart.lock_state, cart.present, cart.lock_seq


# Order.


def test_report_is_taken_over(pi: Pi) -> None:
    cart = make_cart()

    pi.reports(cart, lock="unlocked", present=False, seq=7)

    assert seen(cart) == (LockState.UNLOCKED, False, 7)
    assert cart.lock_reported_at is not None


@pytest.mark.parametrize("seq", [6, 7])
def test_old_news_is_ignored(pi: Pi, seq: int) -> None:
    cart = make_cart()
    pi.reports(cart, lock="unlocked", present=False, seq=7)

    pi.reports(cart, lock="locked", present=True, seq=seq)

    assert seen(cart) == (LockState.UNLOCKED, False, 7)


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3])))
def test_last_word_stands_whatever_the_order(pi: Pi, order: tuple[int, ...]) -> None:
    words = {1: ("unlocked", True), 2: ("unlocked", False), 3: ("unknown", None)}
    cart = make_cart()

    for seq in order:
        lock, present = words[seq]
        pi.reports(cart, lock=lock, present=present, seq=seq)

    assert seen(cart) == (LockState.UNKNOWN, None, 3)


def test_old_return_does_not_end_a_later_rental(pi: Pi) -> None:
    rental = make_rental(cart=make_cart(lock_seq=10))

    pi.reports(rental.cart, lock="locked", present=True, seq=9)

    rental.refresh_from_db()
    assert rental.status == RentalStatus.ACTIVE


def test_old_return_does_not_end_a_later_rental_control(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without looking at the order it does."""

    def believe(cart: Cart, lock: str, present: bool | None, seq: int | None) -> bool:
        cart.lock_state, cart.present = lock, present
        return True

    monkeypatch.setattr("carts.services.rentals._note_lock", believe)
    rental = make_rental(cart=make_cart(lock_seq=10))

    pi.reports(rental.cart, lock="locked", present=True, seq=9)

    rental.refresh_from_db()
    assert rental.status == RentalStatus.RETURNED


def test_report_about_a_cart_nobody_has_changes_nothing(pi: Pi) -> None:
    cart = make_cart()
    before = seen(cart)
    stranger = Cart(pk=cart.branch_id, controller=cart.controller)

    note_lock_report(cart_id=stranger.pk, lock="locked", present=True, seq=99)

    cart.refresh_from_db()
    assert seen(cart) == before


def test_new_pi_counts_its_reports_anew(pi: Pi, django_capture_on_commit_callbacks: Capture) -> None:
    cart = make_cart(lock_seq=5000)
    assert cart.controller is not None
    device = cart.controller.device
    _, code = create_enrolment_code(branch=device.branch, device=device)
    with django_capture_on_commit_callbacks(execute=True):
        register_device(
            mac_address="AA:BB:CC:DD:EE:FF",
            serial_number="",
            branch_code=device.branch.code,
            code=code,
            claim="",
            address="127.0.0.1",
        )

    pi.reports(cart, lock="unlocked", present=False, seq=1)

    assert seen(cart) == (LockState.UNLOCKED, False, 1)


def test_cart_moved_to_another_pi_counts_its_reports_anew(pi: Pi) -> None:
    cart = make_cart(lock_seq=5000)
    elsewhere = make_controller(device=make_device(branch=cart.branch))
    moved = place_cart(branch=cart.branch, cart_number=cart.cart_number, controller=elsewhere, locker_id=3)

    pi.reports(moved, lock="unlocked", present=False, seq=1)

    assert seen(moved) == (LockState.UNLOCKED, False, 1)


def test_cart_moved_on_the_same_pi_keeps_its_order(pi: Pi) -> None:
    cart = make_cart(lock_seq=5000)
    assert cart.controller is not None

    moved = place_cart(branch=cart.branch, cart_number=cart.cart_number, controller=cart.controller, locker_id=3)

    assert (moved.pk, moved.lock_seq, moved.locker_id) == (cart.pk, 5000, 3)


# Returns.


@pytest.mark.parametrize("status", [RentalStatus.ACTIVE, RentalStatus.OVERDUE])
@pytest.mark.parametrize("present", [True, None], ids=["sensor agrees", "no sensor"])
def test_closed_hook_with_the_cart_ends_the_rental(pi: Pi, status: str, present: bool | None) -> None:
    rental = make_rental(status=status)

    pi.reports(rental.cart, lock="locked", present=present, seq=5)

    rental.refresh_from_db()
    assert (rental.status, rental.cart.status) == (RentalStatus.RETURNED, CartStatus.AVAILABLE)
    assert rental.actual_return is not None
    changes = StateChange.objects.filter(entity_id=rental.cart_id).order_by("pk")
    assert [row.to_state for row in changes] == ["returned", "available"]


@pytest.mark.parametrize(
    ("lock", "present"),
    [("locked", False), ("unlocked", True), ("unlocked", False), ("unknown", True), ("unknown", None)],
)
def test_anything_less_is_no_return(pi: Pi, lock: str, present: bool | None) -> None:
    rental = make_rental()

    pi.reports(rental.cart, lock=lock, present=present, seq=5)

    rental.refresh_from_db()
    assert (rental.status, rental.cart.status) == (RentalStatus.ACTIVE, CartStatus.RENTED)


def test_closed_lock_of_a_cart_that_is_just_opening_is_no_return(pi: Pi) -> None:
    rental = make_rental(status=RentalStatus.PENDING_UNLOCK)

    pi.reports(rental.cart, lock="locked", present=True, seq=5)

    rental.refresh_from_db()
    assert (rental.status, rental.cart.status) == (RentalStatus.PENDING_UNLOCK, CartStatus.RESERVED)


def test_return_ends_only_the_rental_of_its_cart(pi: Pi) -> None:
    rental = make_rental()
    other = make_rental(cart=make_cart(controller=rental.cart.controller))

    pi.reports(rental.cart, lock="locked", present=True, seq=5)

    other.refresh_from_db()
    assert other.status == RentalStatus.ACTIVE


@pytest.mark.django_db(transaction=True)
def test_return_told_to_many_at_once_ends_the_rental_once() -> None:
    rental = make_rental()

    def tell() -> None:
        note_lock_report(cart_id=rental.cart_id, lock="locked", present=True, seq=5)

    assert race(tell, times=5) == [None] * 5
    assert StateChange.objects.filter(entity_id=rental.pk).count() == 1
    assert Rental.objects.get().status == RentalStatus.RETURNED
