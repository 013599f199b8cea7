"""People and programs."""

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from uuid import uuid4

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from core.privacy import OnErasure, Personal
from tenants.enums import Languages
from tenants.powers import UNLIMITED, Powers

if TYPE_CHECKING:
    from tenants.access import Decision

M = TypeVar("M", bound=models.Model)


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
    """Everyone: staff, managers, customers, programs. Known by e-mail, phone or both; programs also by a client id.

    `powers` is what the way this person came in is worth (decision 11); a row read without a request is unlimited.
    """

    powers: Powers = UNLIMITED

    # A person is wherever they hold something; for everybody else there, and nowhere else.
    many_places: ClassVar[bool] = True
    chain_path: ClassVar[tuple[str, ...]] = ("grants__chain", "grants__branch__chain")
    branch_path: ClassVar[str] = "grants__branch"

    personal: ClassVar[Personal] = Personal(
        fields=frozenset({"email", "phone", "name"}),
        subjects=("pk",),
        told=("id", "email", "phone", "name", "language", "client_id", "is_active", "last_login", "created_at"),
        on_erasure=OnErasure.BLANK,
    )
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
    client_id = models.CharField(
        _("client id"),
        max_length=100,
        unique=True,
        null=True,
        blank=True,
        help_text=_("A program's: the Client ID of its Cloudflare Access service token."),
    )
    is_active = models.BooleanField(_("account is open"), default=True)
    token_version = models.PositiveIntegerField(default=1, help_text=_("Raised to end every token at once."))
    access_version = models.UUIDField(default=uuid4, editable=False, help_text=_("New whenever rights may change."))
    erased_at = models.DateTimeField(_("erased"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = UserManager()

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        ordering = ["created_at", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(email__isnull=False)
                | Q(phone__isnull=False)
                | Q(client_id__isnull=False)
                | Q(erased_at__isnull=False),
                name="user_reachable",
                violation_error_message=_("Give an e-mail address or a phone number."),
            )
        ]

    def __str__(self) -> str:
        """A name with just enough to tell two of them apart: whoever reads it may not be one who may contact them."""
        known_by = self.masked_phone or self.masked_email
        if self.name and known_by:
            return f"{self.name} ({known_by})"
        return self.name or known_by or self.client_id or str(_("erased person"))

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

    @property
    def masked_email(self) -> str:
        """The first letter and where it is."""
        name, _at, domain = (self.email or "").partition("@")
        return f"{name[:1]}•••@{domain}" if domain else ""

    @property
    def masked(self) -> str:
        """Enough to tell two customers at the counter apart, not enough to reach them."""
        return self.masked_phone or self.masked_email or str(self)

    @property
    def proved_addresses(self) -> set[str]:
        """E-mail addresses that are this person's for certain: proved ones, and one that staff entered. One query."""
        from allauth.account.models import EmailAddress

        rows = EmailAddress.objects.filter(user_id=self.pk).values_list("email", "verified")
        known = {address.lower(): proved for address, proved in rows}
        if self.email:
            known.setdefault(self.email, True)
        return {address for address, proved in known.items() if proved}

    def may(self, permission: str, thing: object = None) -> "Decision":
        """May this person do this (to that thing)? At most one query a request."""
        from tenants import access

        return access.may(self, permission, thing)

    def may_everywhere(self, permission: str) -> bool:
        """May this person do this to everything? No query more than `may`."""
        from tenants import access

        return access.reach(self, permission).everywhere

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
        return self.may_everywhere("*")

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Django's permissions (`app.action_model`) exist only for third-party admins (schedules): full access only."""
        return self.is_active and self.is_superuser

    def has_module_perms(self, app_label: str) -> bool:
        """Whether the admin's index may show an app; its models decide for themselves."""
        return self.is_staff
