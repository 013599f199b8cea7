"""Chains, branches, people, and who may do what where."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from uuid import uuid4
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from tenants.enums import ROLE_SCOPES, GrantScope, Languages

if TYPE_CHECKING:
    from tenants.access import Decision

M = TypeVar("M", bound=models.Model)

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


class UserManager(BaseUserManager["User"]):
    """Makes people; `tenants.services.people` is where the product does."""

    def create_user(self, email: str | None = None, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower() if email else None, **fields)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser):
    """Everyone: staff, managers, customers, programs. Known by e-mail, phone or both."""

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    email = models.EmailField(_("e-mail address"), unique=True, null=True, blank=True)
    phone = models.CharField(
        _("phone number"),
        max_length=16,
        unique=True,
        null=True,
        blank=True,
        validators=[RegexValidator(r"^\+[1-9][0-9]{6,14}\Z", _("E.164: + and 7 to 15 digits."))],
    )
    name = models.CharField(_("name"), max_length=255, blank=True)
    language = models.CharField(_("language"), max_length=5, choices=Languages, default=Languages.ENGLISH)
    is_active = models.BooleanField(_("account is open"), default=True)
    token_version = models.PositiveIntegerField(default=1, help_text=_("Raised to end every token at once."))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = UserManager()

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        ordering = ["created_at", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(email__isnull=False) | Q(phone__isnull=False),
                name="user_reachable",
                violation_error_message=_("Give an e-mail address or a phone number."),
            )
        ]

    def __str__(self) -> str:
        return self.email or self.masked_phone

    def get_full_name(self) -> str:
        """What the admin greets a person with."""
        return self.name or str(self)

    get_short_name = get_full_name

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What a browser's session is bound to: it ends with `token_version` too, not only with the password."""
        bound_to = f"{self.password}:{self.token_version}"
        return salted_hmac("tenants.session", bound_to, secret=secret, algorithm="sha256").hexdigest()

    @property
    def masked_phone(self) -> str:
        """The last four digits, enough to tell two customers at the counter apart."""
        return f"•• ••• {self.phone[-4:]}" if self.phone else ""

    def may(self, permission: str, thing: object = None) -> "Decision":
        """May this person do this (to that thing)? At most one query a request."""
        from tenants import access

        return access.may(self, permission, thing)

    def visible(self, queryset: "models.QuerySet[M]", permission: str) -> "models.QuerySet[M]":
        """Those of the rows that this person may see. At most one query a request, none of it on the rows."""
        from tenants import access

        return access.visible(self, queryset, permission)

    # What Django's admin asks. Each admin class checks its own `resource:action`; these only open the door.
    @property
    def is_staff(self) -> bool:
        """Works for the platform, so `/admin/` opens."""
        from tenants import access

        return self.is_active and access.is_platform_staff(self)

    @property
    def is_superuser(self) -> bool:
        """Holds every permission on the platform."""
        return bool(self.may("*"))

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Django's permissions (`app.action_model`) exist only for third-party admins (schedules): full access only."""
        return self.is_active and self.is_superuser

    def has_module_perms(self, app_label: str) -> bool:
        """Whether the admin's index may show an app; its models decide for themselves."""
        return self.is_staff


class Role(models.Model):
    """A named set of permissions `resource:action`; `*` stands for every resource or action."""

    code = models.SlugField(_("code"), max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=80)
    permissions = ArrayField(models.CharField(max_length=60), blank=True, verbose_name=_("permissions"))

    class Meta:
        verbose_name = _("role")
        verbose_name_plural = _("roles")
        ordering = ["code"]

    def __str__(self) -> str:
        return self.name


class Grant(models.Model):
    """A role for a person on the platform (no chain, no branch), a chain or a branch, perhaps for a time."""

    chain_path: ClassVar[tuple[str, ...]] = ("chain", "branch__chain")
    branch_path: ClassVar[str] = "branch"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="grants", verbose_name=_("person"))
    role = models.ForeignKey(Role, on_delete=models.PROTECT, related_name="grants", verbose_name=_("role"))
    chain = models.ForeignKey(
        Chain, on_delete=models.CASCADE, null=True, blank=True, related_name="grants", verbose_name=_("chain")
    )
    branch = models.ForeignKey(
        Branch, on_delete=models.CASCADE, null=True, blank=True, related_name="grants", verbose_name=_("branch")
    )
    expires_at = models.DateTimeField(_("ends"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("grant")
        verbose_name_plural = _("grants")
        constraints = [
            models.CheckConstraint(condition=Q(chain__isnull=True) | Q(branch__isnull=True), name="grant_one_scope"),
            models.UniqueConstraint(
                fields=["user", "role", "chain", "branch"], nulls_distinct=False, name="grant_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.role} ({self.branch or self.chain or self.scope.label})"

    @property
    def scope(self) -> GrantScope:
        """Where it holds."""
        if self.branch_id:
            return GrantScope.BRANCH
        return GrantScope.CHAIN if self.chain_id else GrantScope.PLATFORM

    @property
    def in_force(self) -> bool:
        """Not expired."""
        return self.expires_at is None or self.expires_at > timezone.now()

    def clean(self) -> None:
        """The shipped roles fit one kind of scope each; a role made by a manager fits any."""
        allowed = ROLE_SCOPES.get(self.role.code) if self.role_id else None
        if allowed and self.scope not in allowed:
            raise ValidationError({"role": _("This role can't be given there.")})


class OtpChallenge(models.Model):
    """A one-time code sent to a phone. Holds an HMAC, never the code."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    phone = models.CharField(max_length=16)
    binding = models.CharField(max_length=64, help_text="Who asked: a browser session, or `api`.")
    code_hmac = models.CharField(max_length=64)
    guesses = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["phone", "-created_at"])]

    def __str__(self) -> str:
        return f"code for •••{self.phone[-4:]}"


class SignInLink(models.Model):
    """A link that signs one person in once. Holds a hash, never the token."""

    token_hash = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_in_links")
    next_path = models.CharField(max_length=200, default="/")
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"link for {self.user}"


class RefreshToken(models.Model):
    """The right to a new access token, used once and replaced by its successor. Holds a hash, never the token."""

    token_hash = models.CharField(max_length=64, unique=True)
    family = models.UUIDField(db_index=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="refresh_tokens")
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"refresh token of {self.user}"
