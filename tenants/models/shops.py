"""Chains and their branches."""

from datetime import timedelta
from typing import ClassVar
from uuid import uuid4
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

# Both become levels of MQTT topics, so neither may hold `/`, `+`, `#` or spaces.
_slug = RegexValidator(r"^[a-z0-9]+(?:-[a-z0-9]+)*\Z", _("Lower-case letters, digits and single hyphens."))
_code = RegexValidator(r"^[A-Z0-9]+(?:-[A-Z0-9]+)*\Z", _("Capital letters, digits and single hyphens."))


class Chain(models.Model):
    """A retailer; the outer tenant."""

    chain_path: ClassVar[str] = "pk"
    branch_path: ClassVar[str] = "branches"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(_("name"), max_length=255)
    slug = models.CharField(_("short name"), max_length=100, unique=True, validators=[_slug])
    approve_devices = models.BooleanField(
        _("approve devices"),
        default=False,
        help_text=_("A new Pi waits for staff unless its MAC address was registered before."),
    )
    retention_days = models.PositiveIntegerField(
        _("keep personal data (days)"),
        default=730,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text=_("What tells which customer rented is forgotten this long after the rental ended."),
    )
    active = models.BooleanField(_("in operation"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("chain")
        verbose_name_plural = _("chains")
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name


class Branch(models.Model):
    """A shop of a chain; the inner tenant. Its code is what a Pi registers with, so it is unique over all chains."""

    chain_path: ClassVar[str] = "chain"
    branch_path: ClassVar[str] = "pk"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    chain = models.ForeignKey(Chain, on_delete=models.PROTECT, related_name="branches", verbose_name=_("chain"))
    code = models.CharField(_("code"), max_length=60, unique=True, validators=[_code])
    name = models.CharField(_("name"), max_length=255)
    address = models.TextField(_("address"), blank=True)
    city = models.CharField(_("city"), max_length=100, blank=True)
    latitude = models.DecimalField(
        _("latitude"),
        max_digits=10,
        decimal_places=8,
        null=True,
        blank=True,
        validators=[MinValueValidator(-90), MaxValueValidator(90)],
    )
    longitude = models.DecimalField(
        _("longitude"),
        max_digits=11,
        decimal_places=8,
        null=True,
        blank=True,
        validators=[MinValueValidator(-180), MaxValueValidator(180)],
    )
    time_zone = models.CharField(_("time zone"), max_length=60, default="UTC")
    rental_minutes = models.PositiveIntegerField(
        _("longest rental (minutes)"),
        default=240,
        validators=[MinValueValidator(1)],
        help_text=_("A cart kept longer counts as overdue."),
    )
    active = models.BooleanField(_("in operation"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("branch")
        verbose_name_plural = _("branches")
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"

    def clean(self) -> None:
        """Pages of the branch are shown in its time zone, so it must be one (IANA name)."""
        try:
            ZoneInfo(self.time_zone)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            raise ValidationError({"time_zone": _("Like Asia/Jerusalem.")}) from None

    @property
    def rental_duration(self) -> timedelta:
        """How long a cart may be kept."""
        return timedelta(minutes=self.rental_minutes)
