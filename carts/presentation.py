"""Rows as people see them: words, times and figures for pages and sockets. No writes, no HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import segno
from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from carts.enums import CartCondition, CartStatus, LockState, RentalStatus
from carts.models import Cart, Rental
from carts.selectors import next_free_cart
from core.vocabulary import BadgeKind
from devices.enums import CommandStatus
from devices.models import Device
from tenants.models import Branch

_RENTAL_BADGES: dict[str, BadgeKind] = {
    RentalStatus.PENDING_UNLOCK: "info",
    RentalStatus.ACTIVE: "ok",
    RentalStatus.OVERDUE: "warn",
    RentalStatus.RETURNED: "ok",
    RentalStatus.VOIDED: "bad",
    RentalStatus.CLOSED_BY_STAFF: "info",
}


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of an unlock: done, now, todo or failed, and after how many seconds."""

    key: str
    label: str
    state: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """The next healthy cart."""

    cart_number: int
    unlock_url: str
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class RentalPage:
    """A rental as its customer sees it."""

    id: UUID
    status: str
    cart_number: int
    headline: str
    hint: str
    hops: Sequence[Hop]
    facts: dict[str, str]
    offer: Offer | None
    return_url: str
    did_not_open_url: str


def rental_page(rental: Rental) -> RentalPage:
    """Everything the customer's page says. Queries for the next cart only when this one failed."""
    headline, hint = _rental_words(rental)
    running = rental.status in (RentalStatus.ACTIVE, RentalStatus.OVERDUE)
    return RentalPage(
        id=rental.pk,
        status=rental.status,
        cart_number=rental.cart.cart_number,
        headline=headline,
        hint=hint,
        hops=_hops(rental),
        facts={
            "cart": str(rental.cart.cart_number),
            "price": pgettext("price", "Free"),
            "return_by": clock(rental.expected_return, rental.branch) if rental.expected_return else "",
        },
        offer=_offer(rental) if rental.status == RentalStatus.VOIDED else None,
        return_url=reverse("carts:rental-return", args=[rental.pk]) if running else "",
        did_not_open_url=reverse("carts:rental-did-not-open", args=[rental.pk])
        if rental.status in (RentalStatus.PENDING_UNLOCK, RentalStatus.ACTIVE)
        else "",
    )


def clock(moment: datetime, branch: Branch) -> str:
    """Hour and minute where the branch is; with the date when that is not today."""
    zone = ZoneInfo(branch.time_zone)
    local = timezone.localtime(moment, zone)
    same_day = local.date() == timezone.localtime(timezone.now(), zone).date()
    return f"{local:%H:%M}" if same_day else f"{local:%d.%m. %H:%M}"


def _rental_words(rental: Rental) -> tuple[str, str]:
    number = {"number": rental.cart.cart_number}
    match rental.status:
        case RentalStatus.PENDING_UNLOCK:
            return (
                _("Cart %(number)s is opening") % number,
                _("Pull gently. The page turns green when the latch has really moved."),
            )
        case RentalStatus.ACTIVE:
            return _("Cart %(number)s is yours") % number, _("Bring it back to its own lock and push it in.")
        case RentalStatus.OVERDUE:
            return _("Cart %(number)s is late") % number, _("Please bring it back. Others are waiting for a cart.")
        case RentalStatus.RETURNED:
            return _("Cart %(number)s is back") % number, _("The lock has closed. Thank you.")
        case RentalStatus.VOIDED:
            return (
                _("Cart %(number)s did not open") % number,
                _("The lock did not say that it opened. You were not charged."),
            )
        case _:
            return (
                _("This rental was closed by the staff"),
                _("You have nothing more to do. If the cart is still with you, please bring it back."),
            )


def _hops(rental: Rental) -> list[Hop]:
    command = rental.unlock_command
    start = rental.created_at
    labels = {
        "sent": _("Request sent"),
        "received": _("Received in the store"),
        "latch": _("Latch moving"),
        "yours": _("Cart is yours"),
    }
    opened = command.finished_at if command and command.status == CommandStatus.DONE else None
    times = {
        "sent": command.sent_at or start if command else start,
        "received": (command.acked_at or opened) if command else None,
        "latch": opened,
        "yours": rental.start_time,
    }
    hops: list[Hop] = []
    reached = True
    for key, label in labels.items():
        at = times[key]
        if at is not None:
            seconds = max(0.0, (at - start).total_seconds())
            hops.append(Hop(key, label, "done", seconds))
            continue
        state = "todo"
        if reached:
            state = "failed" if rental.status == RentalStatus.VOIDED else "now"
        hops.append(Hop(key, label, state))
        reached = False
    return hops


def _offer(rental: Rental) -> Offer | None:
    cart = next_free_cart(rental.cart)
    if cart is None:
        return None
    return Offer(cart.cart_number, reverse("carts:unlock", args=[cart.public_code]), uuid4().hex)


@dataclass(frozen=True, slots=True)
class RentalRow:
    """A rental in a manager's table."""

    id: UUID
    cart_number: int
    masked_phone: str
    start_time: datetime
    actual_return: datetime | None
    badge_kind: BadgeKind
    badge_word: str
    elapsed_since: datetime


def rental_row(rental: Rental) -> RentalRow:
    """One line of “rentals now” and of a cart's history."""
    word = str(rental.get_status_display())
    if rental.status == RentalStatus.OVERDUE and rental.expected_return:
        late = int((timezone.now() - rental.expected_return).total_seconds() // 60)
        word = _("Overdue %(minutes)s min") % {"minutes": late}
    return RentalRow(
        id=rental.pk,
        cart_number=rental.cart.cart_number,
        masked_phone=rental.customer.masked if rental.customer else _("Forgotten"),
        start_time=rental.start_time or rental.created_at,
        actual_return=rental.actual_return,
        badge_kind=_RENTAL_BADGES[rental.status],
        badge_word=word,
        elapsed_since=rental.start_time or rental.created_at,
    )


@dataclass(frozen=True, slots=True)
class CartTile:
    """A cart in the manager's grid; `tile_state` is free, out, opening, suspect or blocked."""

    id: UUID
    cart_number: int
    tile_state: str
    tile_word: str
    since: datetime | None


def cart_tile(cart: Cart) -> CartTile:
    """State in one word."""
    state, word = _tile_state(cart)
    return CartTile(
        id=cart.pk,
        cart_number=cart.cart_number,
        tile_state=state,
        tile_word=word,
        since=cart.last_used if state == "out" else None,
    )


def cart_facts(cart: Cart) -> list[dict[str, str]]:
    """What is known about a cart, for its page."""
    sensor = {True: _("cart in its place"), False: _("no cart behind the lock"), None: _("no word yet")}
    board = (
        f"{cart.controller.device.name} · {cart.controller.port} · #{cart.controller.address}"
        if cart.controller
        else "–"
    )
    return [
        {"label": _("Lock"), "value": str(LockState(cart.lock_state).label)},
        {"label": _("Sensor"), "value": sensor[cart.present]},
        {"label": _("Condition"), "value": str(cart.get_condition_display())},
        {"label": _("Board"), "value": board},
        {"label": _("Lock number"), "value": str(cart.locker_id)},
    ]


def cart_actions(cart: Cart) -> list[str]:
    """What a manager may do with it now."""
    condition = {CartCondition.OK: ["maintenance"], CartCondition.SUSPECT: ["restore", "maintenance"]}
    return ["unlock", "lock", *condition.get(CartCondition(cart.condition), ["restore"])]


def _tile_state(cart: Cart) -> tuple[str, str]:
    if cart.status == CartStatus.RENTED:
        return "out", _("Out")
    if cart.status == CartStatus.RESERVED:
        return "opening", _("Opening")
    if cart.condition == CartCondition.MAINTENANCE:
        return "blocked", _("Blocked")
    if cart.condition == CartCondition.SUSPECT:
        return "suspect", _("Suspect")
    if cart.lock_state == LockState.UNLOCKED:
        return "suspect", _("Lock open")
    return "free", _("Free")


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A Pi in the manager's table."""

    id: UUID
    name: str
    firmware_version: str
    boards: int
    badge_kind: BadgeKind
    badge_word: str
    last_seen_at: datetime | None
    round_trip_ms: int | None


def device_row(device: Device, round_trip_ms: float | None) -> DeviceRow:
    """One line of “devices”. `device` annotated with `boards`."""
    presence = getattr(device, "presence", None)
    kinds: dict[str, BadgeKind] = {"online": "ok", "degraded": "warn", "offline": "bad", "unknown": "info"}
    seen = [at for at in (presence.last_heartbeat_at, presence.connected_at) if at] if presence else []
    return DeviceRow(
        id=device.pk,
        name=device.name,
        firmware_version=device.firmware_version,
        boards=getattr(device, "boards", 0),
        badge_kind=kinds[presence.state] if presence else "bad",
        badge_word=str(presence.get_state_display()) if presence else _("Offline"),
        last_seen_at=max(seen, default=None),
        round_trip_ms=round(round_trip_ms) if round_trip_ms is not None else None,
    )


@dataclass(frozen=True, slots=True)
class Poster:
    """A cart's QR code, ready to print. `svg` is ours, made of numbers and the address alone."""

    cart_number: int
    url: str
    svg: str


def poster(cart: Cart) -> Poster:
    """The code that leads to the cart's page."""
    url = f"{settings.PUBLIC_URL}{reverse('carts:cart', args=[cart.public_code])}"
    code = segno.make(url, error="m")
    return Poster(cart.cart_number, url, mark_safe(code.svg_inline(scale=5, border=2)))  # noqa: S308 (no input of users)
