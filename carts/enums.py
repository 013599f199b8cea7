"""Choices and life cycles of the carts app."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class CartStatus(models.TextChoices):
    """Where a cart is in its use."""

    AVAILABLE = "available", _("Free")
    RESERVED = "reserved", _("Opening")
    RENTED = "rented", _("Out")
    RETURNED = "returned", _("Returned")


CART_TRANSITIONS: dict[str, frozenset[str]] = {
    CartStatus.AVAILABLE: frozenset({CartStatus.RESERVED}),
    CartStatus.RESERVED: frozenset({CartStatus.RENTED, CartStatus.AVAILABLE}),
    CartStatus.RENTED: frozenset({CartStatus.RETURNED}),
    CartStatus.RETURNED: frozenset({CartStatus.AVAILABLE}),
}


class CartCondition(models.TextChoices):
    """Whether a cart may be offered."""

    OK = "ok", _("OK")
    SUSPECT = "suspect", _("Suspect")
    MAINTENANCE = "maintenance", _("Maintenance")


CONDITION_TRANSITIONS: dict[str, frozenset[str]] = {
    CartCondition.OK: frozenset({CartCondition.SUSPECT, CartCondition.MAINTENANCE}),
    CartCondition.SUSPECT: frozenset({CartCondition.OK, CartCondition.MAINTENANCE}),
    CartCondition.MAINTENANCE: frozenset({CartCondition.OK}),
}


class LockState(models.TextChoices):
    """What the hook said last."""

    LOCKED = "locked", _("Locked")
    UNLOCKED = "unlocked", _("Open")
    UNKNOWN = "unknown", _("Unknown")


class RentalStatus(models.TextChoices):
    """Life of a rental."""

    PENDING_UNLOCK = "pending_unlock", pgettext_lazy("rental", "Opening")
    ACTIVE = "active", pgettext_lazy("rental", "Active")
    OVERDUE = "overdue", _("Overdue")
    RETURNED = "returned", pgettext_lazy("rental", "Returned")
    VOIDED = "voided", _("Voided")
    CLOSED_BY_STAFF = "closed_by_staff", _("Closed by staff")


_ENDED = frozenset({RentalStatus.RETURNED, RentalStatus.CLOSED_BY_STAFF})
RENTAL_TRANSITIONS: dict[str, frozenset[str]] = {
    RentalStatus.PENDING_UNLOCK: frozenset({RentalStatus.ACTIVE, RentalStatus.VOIDED}),
    RentalStatus.ACTIVE: _ENDED | {RentalStatus.OVERDUE, RentalStatus.VOIDED},
    RentalStatus.OVERDUE: _ENDED,
}
OPEN_RENTALS = (RentalStatus.PENDING_UNLOCK, RentalStatus.ACTIVE, RentalStatus.OVERDUE)
RUNNING_RENTALS = (RentalStatus.ACTIVE, RentalStatus.OVERDUE)
