"""What lets somebody in."""

from typing import ClassVar
from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.privacy import Personal
from tenants.models.people import User


class OtpChallenge(models.Model):
    """A one-time code sent to a phone. Holds an HMAC, never the code."""

    personal: ClassVar[Personal] = Personal(
        fields=frozenset({"phone"}), known_by={"phone": "phone"}, told=("phone", "created_at", "expires_at", "used_at")
    )

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


class Registration(models.Model):
    """An account that somebody asked for and that begins once the code mailed to its address comes back.

    Holds hashes of the password and of the code. Each asker has a row and a code of their own: a stranger who asks for
    the same address neither blocks its owner nor gets a password of theirs behind the owner's code.
    """

    # The name is not told: whoever typed it need not be the one the address belongs to.
    personal: ClassVar[Personal] = Personal(
        fields=frozenset({"email", "name"}),
        known_by={"email": "proved_addresses"},
        told=("email", "created_at", "expires_at", "used_at"),
    )

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    email = models.EmailField(db_index=True)
    password = models.CharField(max_length=128)
    name = models.CharField(max_length=255, blank=True)
    language = models.CharField(max_length=5)
    code_hmac = models.CharField(max_length=64, blank=True, help_text="Empty where the address has an account.")
    guesses = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"registration {self.pk}"


class SignInLink(models.Model):
    """A link that signs one person in once. Holds a hash, never the token."""

    personal: ClassVar[Personal] = Personal(subjects=("user", "made_by"), told=("expires_at", "used_at"))

    token_hash = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_in_links")
    made_by = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    next_path = models.CharField(max_length=200, default="/")
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"link for {self.user}"


class RefreshToken(models.Model):
    """The right to a new access token, used once and replaced by its successor. Holds a hash, never the token."""

    personal: ClassVar[Personal] = Personal(
        subjects=("user",), told=("second_factor", "began_at", "expires_at", "used_at")
    )

    token_hash = models.CharField(max_length=64, unique=True)
    family = models.UUIDField(db_index=True)
    began_at = models.DateTimeField(default=timezone.now, help_text="When this family began: the sign-in.")
    trusted = models.BooleanField(default=False, help_text="Whether staff or managers began this family.")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="refresh_tokens")
    second_factor = models.BooleanField(default=False, help_text="Whether one was given when this family began.")
    by_phone = models.BooleanField(default=False, help_text="Whether a code to a phone alone began this family.")
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"refresh token of {self.user}"


class PersonalToken(models.Model):
    """A named key of a program that acts for a person, within scopes and for a time. Holds a hash, never the token."""

    owner_path: ClassVar[str] = "user"
    personal: ClassVar[Personal] = Personal(
        subjects=("user",),
        told=("name", "scopes", "second_factor", "created_at", "expires_at", "last_used_at", "revoked_at"),
    )

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="personal_tokens", verbose_name=_("person"))
    name = models.CharField(_("name"), max_length=80)
    token_hash = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=8, help_text="Its last characters, to tell two apart.")
    scopes = ArrayField(models.CharField(max_length=60), verbose_name=_("scopes"))
    second_factor = models.BooleanField(default=False, help_text="Whether one was given by whoever made it.")
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("ends"))
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta:
        verbose_name = _("personal token")
        verbose_name_plural = _("personal tokens")
        ordering = ["-created_at", "pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def in_force(self) -> bool:
        """Neither revoked nor too old."""
        return self.revoked_at is None and self.expires_at > timezone.now()


class BrowserSession(AbstractBaseSession):
    """A browser that is signed in. `session_key` is a hash of its cookie; `session_data` is encrypted."""

    owner_path: ClassVar[str] = "user"
    personal: ClassVar[Personal] = Personal(
        fields=frozenset({"address", "user_agent"}),
        subjects=("user",),
        told=("address", "user_agent", "created_at", "seen_at", "expire_date"),
    )

    session_key = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="browser_sessions")
    address = models.GenericIPAddressField(_("address"), null=True)
    user_agent = models.CharField(_("browser"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    seen_at = models.DateTimeField(_("last seen"), null=True)

    class Meta(AbstractBaseSession.Meta):
        abstract = False
        verbose_name = _("session")  # type: ignore[assignment]  # translated, as everywhere
        verbose_name_plural = _("sessions")  # type: ignore[assignment]

    @classmethod
    def get_session_store_class(cls) -> type:
        from tenants.session_store import SessionStore

        return SessionStore


class Erasure(models.Model):
    """A person who was erased, so that a restored backup can be told again. Holds no personal data."""

    user_id = models.UUIDField(unique=True)
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.user_id)
