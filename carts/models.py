"""Carts and rentals."""

import secrets
from typing import ClassVar
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from carts.enums import OPEN_RENTALS, CartCondition, CartStatus, LockState, RentalStatus
from core.privacy import OnErasure, Personal
from devices.models import Command, Controller
from tenants.models import Branch, User

_CODE_SIGNS = "23456789abcdefghjkmnpqrstvwxyz"


def new_public_code() -> str:
    """What stands in a cart's QR code: ten signs (49 bits) that say nothing and can't be guessed in a row."""
    return "".join(secrets.choice(_CODE_SIGNS) for _ in range(10))


class Cart(models.Model):
    """A cart of a branch, behind one lock of one board."""

    chain_path: ClassVar[str] = "branch__chain"
    branch_path: ClassVar[str] = "branch"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    branch = models.ForeignKey(Branch, on_delete=models.PROTECT, related_name="carts", verbose_name=_("branch"))
    cart_number = models.PositiveIntegerField(_("number"))
    controller = models.ForeignKey(
        Controller, on_delete=models.PROTECT, null=True, blank=True, related_name="carts", verbose_name=_("lock board")
    )
    locker_id = models.PositiveSmallIntegerField(_("lock"), default=0, help_text=_("Lock on the board, from 0."))
    public_code = models.CharField(max_length=12, unique=True, default=new_public_code, editable=False)
    status = models.CharField(_("status"), max_length=12, choices=CartStatus, default=CartStatus.AVAILABLE)
    condition = models.CharField(_("condition"), max_length=12, choices=CartCondition, default=CartCondition.OK)
    maintenance_notes = models.TextField(_("maintenance notes"), blank=True)
    lock_state = models.CharField(_("lock state"), max_length=10, choices=LockState, default=LockState.UNKNOWN)
    present = models.BooleanField(
        _("cart is there"), null=True, blank=True, help_text=_("What the sensor behind the lock says.")
    )
    lock_seq = models.BigIntegerField(default=-1, help_text=_("Order of the last report; older ones are ignored."))
    lock_reported_at = models.DateTimeField(_("lock reported"), null=True, blank=True)
    last_used = models.DateTimeField(_("last used"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("cart")
        verbose_name_plural = _("carts")
        ordering = ["cart_number", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["branch", "cart_number"], name="cart_number_once_in_branch"),
            models.UniqueConstraint(
                fields=["controller", "locker_id"], condition=Q(controller__isnull=False), name="locker_once_on_board"
            ),
        ]

    def __str__(self) -> str:
        return gettext("Cart %(number)s") % {"number": self.cart_number}

    @property
    def is_locked(self) -> bool:
        """Whether the hook said so last."""
        return self.lock_state == LockState.LOCKED

    def clean(self) -> None:
        """A cart's board hangs on a device of the same branch."""
        if self.controller and self.controller.device.branch_id != self.branch_id:
            raise ValidationError({"controller": _("This board belongs to another branch.")})


class Rental(models.Model):
    """One use of a cart by one person. It starts on evidence that the lock opened, and only then.

    Whose it was is forgotten when the chain has kept it long enough.
    """

    chain_path: ClassVar[str] = "branch__chain"
    branch_path: ClassVar[str] = "branch"
    owner_path: ClassVar[str] = "customer"
    personal: ClassVar[Personal] = Personal(
        fields=frozenset({"notes"}),
        subjects=("customer",),
        told=("branch__name", "cart__cart_number", "status", "created_at", "start_time", "expected_return")
        + ("actual_return", "end_reason", "notes"),
        on_erasure=OnErasure.BLANK,
    )

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    cart = models.ForeignKey(Cart, on_delete=models.PROTECT, related_name="rentals", verbose_name=_("cart"))
    branch = models.ForeignKey(Branch, on_delete=models.PROTECT, related_name="rentals", verbose_name=_("branch"))
    customer = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="rentals", verbose_name=_("customer")
    )
    status = models.CharField(_("status"), max_length=16, choices=RentalStatus, default=RentalStatus.PENDING_UNLOCK)
    unlock_command = models.OneToOneField(
        Command, on_delete=models.SET_NULL, null=True, related_name="rental", verbose_name=_("unlock command")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    start_time = models.DateTimeField(_("started"), null=True, blank=True)
    expected_return = models.DateTimeField(_("expected back"), null=True, blank=True)
    actual_return = models.DateTimeField(_("came back"), null=True, blank=True)
    end_reason = models.CharField(_("why it ended"), max_length=200, blank=True)
    notes = models.TextField(_("notes"), blank=True)

    class Meta:
        verbose_name = _("rental")
        verbose_name_plural = _("rentals")
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["cart"], condition=Q(status__in=OPEN_RENTALS), name="one_open_rental_per_cart"
            ),
            models.CheckConstraint(
                condition=Q(status__in=[RentalStatus.PENDING_UNLOCK, RentalStatus.VOIDED])
                | Q(start_time__isnull=False, expected_return__isnull=False),
                name="rental_started_has_times",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=OPEN_RENTALS) | Q(customer__isnull=False), name="rental_open_has_customer"
            ),
        ]
        indexes = [
            models.Index(fields=["branch", "-created_at"]),
            models.Index(fields=["customer", "-created_at"]),
            models.Index(
                fields=["branch", "created_at"], condition=Q(customer__isnull=False), name="rental_of_somebody"
            ),
            models.Index(fields=["expected_return"], condition=Q(status=RentalStatus.ACTIVE), name="rental_active_due"),
        ]

    def __str__(self) -> str:
        return f"{self.cart}, {self.get_status_display()}"

    @property
    def duration_minutes(self) -> int | None:
        """Whole minutes from the opening to the return."""
        if self.start_time is None or self.actual_return is None:
            return None
        return int((self.actual_return - self.start_time).total_seconds() // 60)
