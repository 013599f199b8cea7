"""Rentals: started on a promise, running on evidence, ended by evidence or by staff."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from carts.enums import (
    CART_TRANSITIONS,
    CONDITION_TRANSITIONS,
    RENTAL_TRANSITIONS,
    RUNNING_RENTALS,
    CartCondition,
    CartStatus,
    LockState,
    RentalStatus,
)
from carts.events import CartChanged, RentalChanged, RentalEnded, RentalStarted, RentalVoided
from carts.models import Cart, Rental
from carts.services.carts import lock_cart, lock_chosen_cart
from carts.snapshots import take_snapshot
from core import audit, idempotency, live, outbox
from core.compiled import Lookup, insert, update
from core.errors import DomainError, InvalidInput, Unavailable
from core.transitions import IllegalTransition, transition
from devices.enums import OPEN_COMMANDS, CommandStatus
from devices.models import Command
from devices.services import queue_command, stop_command
from tenants.models import User
from tenants.services import ensure_customer_grant

# How long after the opening a customer may still say that it did not open.
NOT_OPENED_WITHIN = timedelta(minutes=3)
# Reasons of a Pi that did not try: they say nothing against the lock either.
_NOT_TRIED = frozenset({"wrong_connection", "clock_unknown", "retained", "duplicate", "busy", "interlock"})

_waiting = Lookup(
    lambda command_id: (
        Rental.objects.select_for_update(of=("cart",))
        .select_related("cart", "branch", "unlock_command")
        .filter(unlock_command_id=command_id)
    ),
    command_id=UUID,
)
_locked_alone = Lookup(lambda pk: Cart.objects.select_for_update().filter(pk=pk), pk=UUID)


class CartNotFree(DomainError):
    """Somebody else has it, or it is not fit to be rented."""

    code = "cart-not-free"
    title = _("This cart is not free")


class NotReturned(DomainError):
    """The lock does not say that the cart is back."""

    code = "not-returned"
    title = _("The cart is not back yet")


def start_rental(*, cart: Cart, customer: User, idempotency_key: str) -> dict[str, Any]:
    """Reserve a cart and send the unlock; the rental runs once the lock says it opened. Same key, same answer.

    Answers `{"rental_id", "status", "cart"}`. Raises `CartNotFree`, `Unavailable`, `KeyReused`. Locks the cart.
    """
    return idempotency.once(
        scope=f"rental:{customer.pk}",
        key=idempotency_key,
        request={"cart": cart.pk},
        action=lambda: _start(lock_cart(cart.pk), customer),
    )


def start_chosen_rental(
    *, branch_id: UUID, choice: Mapping[str, Any], customer: User, idempotency_key: str
) -> dict[str, Any]:
    """The same for a cart named by `{"cart_number": …}` or `{"cart_id": …}`, and `NotFound` where there is none."""
    return idempotency.once(
        scope=f"rental:{customer.pk}",
        key=idempotency_key,
        request={"branch": branch_id, **choice},
        action=lambda: _start(lock_chosen_cart(branch_id, **choice), customer),
    )


def _start(cart: Cart, customer: User) -> dict[str, Any]:
    _require_free(cart)
    assert cart.controller is not None
    command = queue_command(device=cart.controller.device, type="unlock", target_id=cart.pk, actor=customer)
    rental = Rental(
        cart=cart,
        branch_id=cart.branch_id,
        customer=customer,
        unlock_command=command,
        status=RentalStatus.PENDING_UNLOCK,
    )
    insert(rental)
    transition(cart, to=CartStatus.RESERVED, table=CART_TRANSITIONS, actor=customer)
    ensure_customer_grant(user=customer, branch=cart.branch)
    # No page of the customer knows this rental yet.
    live.announce(CartChanged(cart.pk, cart.branch_id))
    return {
        "rental_id": str(rental.pk),
        "status": rental.status,
        "cart": {"id": str(cart.pk), "cart_number": cart.cart_number, "public_code": cart.public_code},
    }


def _require_free(cart: Cart) -> None:
    if not (cart.branch.active and cart.branch.chain.active):
        raise CartNotFree(_("This shop is closed."))
    if cart.status != CartStatus.AVAILABLE:
        raise CartNotFree(_("Somebody else is using it."))
    if cart.condition != CartCondition.OK or cart.controller is None:
        raise CartNotFree(_("It is being looked after."))
    if cart.lock_state == LockState.UNLOCKED or cart.present is False:
        raise CartNotFree(_("It is not in its place."))
    if cart.controller.device.state != "active":
        raise Unavailable(_("The locks here can't be reached right now."))


def settle_unlock(*, command_id: UUID) -> None:
    """What a finished command means for its cart, and for the rental that waited for it. Twice is once."""
    with transaction.atomic(savepoint=False):
        found = _waiting_for(command_id)
        if found is None:
            return
        rental, cart, command = found
        if rental is None or rental.status != RentalStatus.PENDING_UNLOCK:
            _note_lock(cart, command.lock, command.present, command.seq)
            live.announce(CartChanged(cart.pk, cart.branch_id))
        elif command.status == CommandStatus.DONE and command.lock == LockState.UNLOCKED and command.seq is not None:
            # The lock itself said that it opened: an answer without a number has seen nothing.
            overtaken = cart.lock_seq > command.seq and _is_back(cart)
            if _begin(rental, cart, command) and overtaken:
                # Another bridge was faster with a later report: the cart was back before this was heard.
                _end(rental, cart, RentalStatus.RETURNED, "lock closed", "")
        else:
            _note_lock(cart, command.lock, command.present, command.seq)
            _void(rental, cart, command)


def _waiting_for(command_id: UUID) -> tuple[Rental | None, Cart, Command] | None:
    """The rental that waited for a command, if one did, with the cart's row locked. One query for a rental's.

    The lock brings the cart up to date; the rental is as it was before any wait for it.
    """
    rental = _waiting.first(command_id=command_id)
    if rental is not None and rental.unlock_command is not None:
        return rental, rental.cart, rental.unlock_command
    command = Command.objects.filter(pk=command_id).first()
    if command is None or command.target_id is None:
        return None
    cart = _locked_alone.first(pk=command.target_id)
    return (None, cart, command) if cart else None


def _begin(rental: Rental, cart: Cart, command: Command) -> bool:
    now = timezone.now()
    times = {"start_time": now, "expected_return": now + rental.branch.rental_duration}
    if not _leave_opening(rental, RentalStatus.ACTIVE, "lock opened", command, times):
        return False
    seen = _news(cart, command.lock, command.present, command.seq)
    transition(
        cart, to=CartStatus.RENTED, table=CART_TRANSITIONS, actor=rental.customer_id, also={"last_used": now, **seen}
    )
    outbox.publish(RentalStarted(rental.pk, rental.branch_id))
    _show(rental, take_snapshot(rental, cart, command))
    return True


def _void(rental: Rental, cart: Cart, command: Command) -> None:
    reason = command.reason or command.status
    if not _leave_opening(rental, RentalStatus.VOIDED, reason, command, {"end_reason": reason}):
        return
    transition(cart, to=CartStatus.AVAILABLE, table=CART_TRANSITIONS, reason="rental voided")
    # A command that was never sent, or was cancelled in time, says nothing against the lock.
    tried = command.status in (CommandStatus.FAILED, CommandStatus.UNKNOWN, CommandStatus.DONE)
    if tried and reason not in _NOT_TRIED:
        _suspect(cart, f"unlock: {reason}")
    outbox.publish(RentalVoided(rental.pk, rental.branch_id))
    _show(rental)


def _leave_opening(rental: Rental, to: str, reason: str, command: Command, also: dict[str, Any]) -> bool:
    """False when another settle was faster: the cart may be the next customer's by now, and must be left alone."""
    try:
        return transition(rental, to=to, table=RENTAL_TRANSITIONS, reason=reason, actor=command.device_id, also=also)
    except IllegalTransition:
        # It has not only begun since, it has ended.
        return False


def note_lock_report(*, cart_id: UUID, lock: str, present: bool | None, seq: int | None) -> None:
    """What a Pi saw at a lock, asked or not. A closed hook with its cart ends the rental; old news is ignored."""
    with transaction.atomic():
        cart = _locked_alone.first(pk=cart_id)
        if cart is None or not _note_lock(cart, lock, present, seq):
            return
        if _is_back(cart):
            rental = Rental.objects.filter(cart=cart, status__in=RUNNING_RENTALS).first()
            if rental is not None:
                _end(rental, cart, RentalStatus.RETURNED, "lock closed", "")
                return
        live.announce(CartChanged(cart.pk, cart.branch_id))


def return_cart(*, rental: Rental, actor: User) -> Rental:
    """The customer says the cart is back; it is when the lock says so too. Raises `NotReturned`. Twice is once."""
    with transaction.atomic():
        cart = lock_cart(rental.cart_id)
        row = Rental.objects.get(pk=rental.pk)
        if row.status == RentalStatus.RETURNED:
            return row
        if row.status not in RUNNING_RENTALS:
            raise NotReturned(_("This rental does not run."))
        if not _is_back(cart):
            raise NotReturned(_("Push the cart in until the lock clicks. The page notices by itself."))
        _end(row, cart, RentalStatus.RETURNED, "lock closed", actor)
        return row


def close_rental(*, rental: Rental, reason: str, actor: User) -> None:
    """Staff end a rental that the locks don't: the cart then waits to be looked after. Needs a reason."""
    if not reason.strip():
        raise InvalidInput(errors={"reason": [_("Say why you end it.")]})
    with transaction.atomic():
        cart = lock_cart(rental.cart_id)
        row = Rental.objects.get(pk=rental.pk)
        if row.status == RentalStatus.PENDING_UNLOCK:
            raise DomainError(_("The lock is being opened. Wait a few seconds."))
        if row.status not in RUNNING_RENTALS:
            return
        back, before = _is_back(cart), row.status
        _end(row, cart, RentalStatus.CLOSED_BY_STAFF, reason.strip(), actor)
        was, now = {"status": before}, {"status": row.status}
        audit.record("ended by staff", row, actor=actor, before=was, after=now, reason=reason.strip())
        if not back and cart.condition == CartCondition.OK:
            _suspect(cart, "rental closed without the cart")


def report_not_opened(*, rental: Rental, customer: User) -> Rental:
    """The customer says it did not open. Still opening: the command is cancelled. Just opened, and a sensor says that
    the cart is there: voided, nothing owed, the cart is checked. Else, also without a sensor, `DomainError`."""
    with transaction.atomic():
        cart = lock_cart(rental.cart_id)
        row = Rental.objects.select_related("unlock_command__device__branch__chain").get(pk=rental.pk)
        if row.status == RentalStatus.PENDING_UNLOCK:
            if row.unlock_command and row.unlock_command.status in OPEN_COMMANDS:
                stop_command(command=row.unlock_command, actor=customer)
        elif row.status == RentalStatus.ACTIVE:
            recent = row.start_time is not None and timezone.now() - row.start_time <= NOT_OPENED_WITHIN
            if not recent or cart.present is not True:
                raise DomainError(_("The lock says that it opened. Please ask the staff."))
            reason = "customer: did not open"
            transition(
                row,
                to=RentalStatus.VOIDED,
                table=RENTAL_TRANSITIONS,
                reason=reason,
                actor=customer,
                also={"end_reason": reason},
            )
            _free(cart)
            _suspect(cart, reason)
            outbox.publish(RentalVoided(row.pk, row.branch_id))
            _show(row)
        return row


def sweep_overdue_rentals() -> int:
    """Mark rentals that ran past their time. Returns how many."""
    due = Rental.objects.filter(status=RentalStatus.ACTIVE, expected_return__lt=timezone.now())
    count = 0
    for pk in list(due.values_list("pk", flat=True)[:500]):
        with transaction.atomic():
            rental = due.select_for_update(skip_locked=True).filter(pk=pk).first()
            if rental and transition(rental, to=RentalStatus.OVERDUE, table=RENTAL_TRANSITIONS, actor="clock"):
                _show(rental)
                count += 1
    return count


def sweep_pending_rentals() -> int:
    """Settle rentals whose command has ended without their hearing of it. Returns how many."""
    stuck = Rental.objects.filter(status=RentalStatus.PENDING_UNLOCK).exclude(unlock_command__status__in=OPEN_COMMANDS)
    old = stuck.filter(unlock_command__finished_at__lt=timezone.now() - timedelta(seconds=30))
    ids = list(old.values_list("unlock_command_id", flat=True)[:500])
    for command_id in ids:
        settle_unlock(command_id=command_id)
    return len(ids)


def _note_lock(cart: Cart, lock: str, present: bool | None, seq: int | None) -> bool:
    """Take over what was seen, unless something newer was seen before."""
    seen = _news(cart, lock, present, seq)
    if seen:
        update(cart, **seen)
    return bool(seen)


def _news(cart: Cart, lock: str, present: bool | None, seq: int | None) -> dict[str, Any]:
    """What a report changes about a cart's row; nothing when something newer was seen before."""
    if seq is None or seq <= cart.lock_seq:
        return {}
    return {"lock_state": lock, "present": present, "lock_seq": seq, "lock_reported_at": timezone.now()}


def _is_back(cart: Cart) -> bool:
    """Hook closed and the sensor agrees; a board without a sensor has only the hook to say it."""
    return cart.lock_state == LockState.LOCKED and cart.present is not False


def _end(rental: Rental, cart: Cart, status: str, reason: str, actor: object) -> None:
    transition(
        rental,
        to=status,
        table=RENTAL_TRANSITIONS,
        reason=reason,
        actor=actor,
        also={"actual_return": timezone.now(), "end_reason": reason[:200]},
    )
    _free(cart)
    outbox.publish(RentalEnded(rental.pk, rental.branch_id))
    _show(rental)


def _free(cart: Cart) -> None:
    transition(cart, to=CartStatus.RETURNED, table=CART_TRANSITIONS)
    transition(cart, to=CartStatus.AVAILABLE, table=CART_TRANSITIONS)


def _suspect(cart: Cart, reason: str) -> None:
    if cart.condition == CartCondition.OK:
        transition(
            cart,
            to=CartCondition.SUSPECT,
            table=CONDITION_TRANSITIONS,
            field="condition",
            reason=reason,
            also={"maintenance_notes": reason},
        )


def _show(rental: Rental, snapshot: dict[str, Any] | None = None) -> None:
    live.announce(RentalChanged(rental.pk, rental.customer_id, rental.cart_id, rental.branch_id, snapshot))
