"""Carts: where they stand, their condition, and commands of staff."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from carts.enums import CONDITION_TRANSITIONS, CartCondition
from carts.events import CartChanged
from carts.models import Cart
from core import audit, idempotency, live
from core.compiled import Lookup
from core.errors import DomainError, InvalidInput, NotFound
from core.transitions import transition
from devices.models import Command, Controller
from devices.services import bump_config, queue_command
from tenants.models import Branch, User
from tenants.selectors import in_operation


def _locked_where(*conditions: Q, **values: Any) -> QuerySet[Cart]:
    rows = Cart.objects.select_for_update(of=("self",))
    return rows.select_related("branch__chain", "controller__device__presence").filter(*conditions, **values)


# Who places carts when no person does.
_NOBODY = "configuration"
_OPEN = in_operation("branch")
_locked = Lookup(lambda pk: _locked_where(pk=pk), pk=UUID)
_open_by_number = Lookup(
    lambda branch_id, cart_number: _locked_where(_OPEN, branch=branch_id, cart_number=cart_number),
    branch_id=UUID,
    cart_number=int,
)
_open_by_id = Lookup(
    lambda branch_id, cart_id: _locked_where(_OPEN, branch=branch_id, pk=cart_id), branch_id=UUID, cart_id=UUID
)


def lock_cart(cart_id: UUID) -> Cart:
    """The cart's row, locked until the transaction ends, with what a command needs to know."""
    cart = _locked.first(pk=cart_id)
    if cart is None:
        raise Cart.DoesNotExist
    return _known(cart)


def lock_chosen_cart(branch_id: UUID, *, cart_number: int | None = None, cart_id: UUID | None = None) -> Cart:
    """The same for a cart of a branch by its number or its id; anybody may name one, as QR codes are public.

    Raises `NotFound`, also for closed branches.
    """
    if cart_number is not None:
        cart = _open_by_number.first(branch_id=branch_id, cart_number=cart_number)
    else:
        cart = _open_by_id.first(branch_id=branch_id, cart_id=cart_id)
    if cart is None:
        raise NotFound
    return _known(cart)


def _known(cart: Cart) -> Cart:
    if cart.controller and cart.controller.device.branch_id == cart.branch_id:
        cart.controller.device.branch = cart.branch
    return cart


def place_cart(
    *, branch: Branch, cart_number: int, controller: Controller, locker_id: int, actor: object = _NOBODY
) -> Cart:
    """Put a cart behind a lock; the same number in the branch is the same cart. The board's Pi learns of it.

    Locks the cart. Raises `ValidationError` for a lock of another branch or of another cart.
    """
    with transaction.atomic():
        rows = Cart.objects.select_for_update(of=("self",)).select_related("controller")
        cart = rows.filter(branch=branch, cart_number=cart_number).first()
        if cart and cart.controller_id == controller.pk and cart.locker_id == locker_id:
            return cart
        before = cart.controller.device_id if cart and cart.controller else None
        stood = None if cart is None else {"controller": cart.controller_id, "locker_id": cart.locker_id}
        cart = cart or Cart(branch=branch, cart_number=cart_number)
        cart.controller, cart.locker_id = controller, locker_id
        if before != controller.device_id:
            cart.lock_seq = -1  # each Pi counts its own reports
        cart.full_clean()
        cart.save(update_fields=None if cart._state.adding else ["controller", "locker_id", "lock_seq"])
        stands = {"controller": controller, "locker_id": locker_id}
        audit.record("changed" if stood else "created", cart, actor=actor, before=stood, after=stands)
        bump_config(device_ids=[pk for pk in {before, controller.device_id} if pk])
    return cart


def start_lock_order_anew(*, device_id: UUID) -> None:
    """Another Pi, or another memory card, counts its reports from 1: what came before must not hide them."""
    Cart.objects.filter(controller__device_id=device_id).update(lock_seq=-1)


def command_cart(*, cart: Cart, type: str, actor: User, idempotency_key: str) -> UUID:
    """Unlock or lock a cart by hand, outside of any rental; the same key is one command. Answers the command's id.

    Raises `Unavailable` when its Pi can't be reached.
    """
    answer = idempotency.once(
        scope=f"cart-command:{actor.pk}",
        key=idempotency_key,
        request={"cart": cart.pk, "type": type},
        action=lambda: {"command_id": str(_command(cart.pk, type, actor).pk)},
    )
    return UUID(answer["command_id"])


def _command(cart_id: UUID, type: str, actor: User) -> Command:
    cart = lock_cart(cart_id)
    if cart.controller is None:
        raise DomainError(_("This cart hangs on no lock."))
    command = queue_command(device=cart.controller.device, type=type, target_id=cart.pk, actor=actor)
    audit.record(f"{type} sent", cart, actor=actor)
    live.announce(CartChanged(cart.pk, cart.branch_id))
    return command


def put_in_maintenance(*, cart: Cart, note: str, actor: object) -> None:
    """Take a cart out of the offer, with a note. A rental that runs goes on."""
    if not note.strip():
        raise InvalidInput(errors={"note": [_("Say what is wrong with it.")]})
    _set_condition(cart, CartCondition.MAINTENANCE, note.strip(), actor)


def put_in_service(*, cart: Cart, actor: object) -> None:
    """Offer a cart again."""
    _set_condition(cart, CartCondition.OK, "", actor)


def _set_condition(cart: Cart, condition: str, note: str, actor: object) -> None:
    with transaction.atomic():
        row = lock_cart(cart.pk)
        before = row.condition
        moved = transition(
            row,
            to=condition,
            table=CONDITION_TRANSITIONS,
            field="condition",
            reason=note,
            actor=actor,
            also={"maintenance_notes": note},
        )
        if moved:
            what = "put in maintenance" if condition == CartCondition.MAINTENANCE else "put in service"
            was, now = {"condition": before}, {"condition": condition}
            audit.record(what, row, actor=actor, before=was, after=now, reason=note)
            live.announce(CartChanged(row.pk, row.branch_id))
