"""Builders of carts and rentals. Every argument goes by name; what is left out is made up, unique and valid."""

from datetime import timedelta
from itertools import count
from typing import Any

from django.utils import timezone

from carts.enums import OPEN_RENTALS, RUNNING_RENTALS, CartStatus, LockState, RentalStatus
from carts.models import Cart, Rental
from devices.enums import CommandStatus
from devices.models import Controller
from devices.tests.factories import make_command, make_controller, make_device
from tenants.models import Branch, User
from tenants.tests.factories import make_phone, make_user

_numbers = count(1)


def make_cart(*, branch: Branch | None = None, controller: Controller | None = None, **fields: Any) -> Cart:
    """A free cart, latched behind the first free lock of a board.

    The board is of a connected device of its own unless one is named; `branch` may then be left out.
    """
    if controller is None:
        controller = make_controller(device=make_device(branch=branch))
    made_up = {
        "cart_number": next(_numbers),
        "locker_id": controller.carts.count(),
        "lock_state": LockState.LOCKED,
        "present": True,
        "lock_seq": 0,
        "lock_reported_at": timezone.now(),
    }
    return Cart.objects.create(
        branch=branch or controller.device.branch, controller=controller, **{**made_up, **fields}
    )


def make_rental(
    *, cart: Cart | None = None, customer: User | None = None, status: str = RentalStatus.ACTIVE, **fields: Any
) -> Rental:
    """A rental in any state, with its unlock command; the cart is put where such a rental leaves it.

    A running one began an hour ago. An ended one ended just now. The customer is a new one with a phone unless named.
    """
    cart, customer = cart or make_cart(), customer or make_user(phone=make_phone())
    now = timezone.now()
    times: dict[str, Any] = {}
    if status not in (RentalStatus.PENDING_UNLOCK, RentalStatus.VOIDED):
        begun = now - timedelta(hours=1)
        times = {"start_time": begun, "expected_return": begun + cart.branch.rental_duration}
    if status not in OPEN_RENTALS and times:
        times["actual_return"] = now
    if status == RentalStatus.OVERDUE:
        times["expected_return"] = now - timedelta(minutes=1)
    assert cart.controller is not None
    command = make_command(
        device=cart.controller.device,
        target_id=cart.pk,
        status=CommandStatus.QUEUED if status == RentalStatus.PENDING_UNLOCK else CommandStatus.DONE,
        lock="" if status == RentalStatus.PENDING_UNLOCK else LockState.UNLOCKED,
    )
    _place(cart, status)
    made_up = {"branch": cart.branch, "unlock_command": command, **times}
    return Rental.objects.create(cart=cart, customer=customer, status=status, **{**made_up, **fields})


def _place(cart: Cart, status: str) -> None:
    if status == RentalStatus.PENDING_UNLOCK:
        cart.status = CartStatus.RESERVED
    elif status in RUNNING_RENTALS:
        cart.status, cart.lock_state, cart.present = CartStatus.RENTED, LockState.UNLOCKED, False
    cart.save(update_fields=["status", "lock_state", "present"])
