"""Roles, and who holds them where."""

from typing import ClassVar
from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone, translation
from django.utils.translation import gettext_lazy as _

from core.privacy import OnErasure, Personal
from tenants.enums import ROLE_SCOPES, GrantScope, RoleCode
from tenants.models.people import User
from tenants.models.shops import Branch, Chain


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
        return self.title

    @property
    def title(self) -> str:
        """Its name; of a role the product came with, and nobody renamed, in the reader's language."""
        if self.code not in RoleCode.values:
            return self.name
        label = RoleCode(self.code).label
        with translation.override("en"):
            shipped_as = str(label)
        return str(label) if self.name == shipped_as else self.name


class Grant(models.Model):
    """A role for a person on the platform (no chain, no branch), a chain or a branch, perhaps for a time."""

    chain_path: ClassVar[tuple[str, ...]] = ("chain", "branch__chain")
    branch_path: ClassVar[str] = "branch"
    personal: ClassVar[Personal] = Personal(
        subjects=("user",), told=("role__name", "chain__name", "branch__name", "created_at", "expires_at")
    )

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="grants", verbose_name=_("person"))
    role = models.ForeignKey(Role, on_delete=models.PROTECT, related_name="grants", verbose_name=_("role"))
    chain = models.ForeignKey(
        Chain, on_delete=models.CASCADE, null=True, blank=True, related_name="grants", verbose_name=_("chain")
    )
    branch = models.ForeignKey(
        Branch, on_delete=models.CASCADE, null=True, blank=True, related_name="grants", verbose_name=_("branch")
    )
    expires_at = models.DateTimeField(_("ends"), null=True, blank=True, db_index=True)
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


class Invitation(models.Model):
    """A role offered to whoever reads the mail of an address. Holds a hash, never the token."""

    chain_path: ClassVar[tuple[str, ...]] = ("chain", "branch__chain")
    branch_path: ClassVar[str] = "branch"
    personal: ClassVar[Personal] = Personal(
        fields=frozenset({"email", "name"}),
        known_by={"email": "proved_addresses"},
        told=("email", "name", "role__name", "chain__name", "branch__name")
        + ("created_at", "expires_at", "accepted_at", "withdrawn_at"),
    )

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    token_hash = models.CharField(max_length=64, unique=True)
    email = models.EmailField(_("e-mail address"))
    name = models.CharField(_("name"), max_length=255, blank=True)
    role = models.ForeignKey(Role, on_delete=models.CASCADE, related_name="+", verbose_name=_("role"))
    chain = models.ForeignKey(
        Chain, on_delete=models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("chain")
    )
    branch = models.ForeignKey(
        Branch, on_delete=models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("branch")
    )
    invited_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, related_name="+", verbose_name=_("invited by")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("ends"))
    accepted_at = models.DateTimeField(_("accepted"), null=True, blank=True)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["-created_at", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(chain__isnull=True) | Q(branch__isnull=True), name="invitation_one_scope"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email}: {self.role}"


class SupportAccess(models.Model):
    """Staff of the platform looking into a chain for a while and for a reason; the chain sees it and may end it."""

    chain_path: ClassVar[str] = "chain"
    personal: ClassVar[Personal] = Personal(
        subjects=("staff",),
        told=("chain__name", "reason", "created_at", "ends_at", "ended_at"),
        on_erasure=OnErasure.KEEP,
    )

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    staff = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", verbose_name=_("person"))
    chain = models.ForeignKey(Chain, on_delete=models.PROTECT, related_name="+", verbose_name=_("chain"))
    grant = models.ForeignKey(Grant, on_delete=models.SET_NULL, null=True, editable=False, related_name="+")
    reason = models.CharField(_("reason"), max_length=300)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    ends_at = models.DateTimeField(_("ends"))
    ended_at = models.DateTimeField(_("ended early"), null=True, blank=True)

    class Meta:
        verbose_name = _("support access")
        verbose_name_plural = _("support accesses")
        ordering = ["-created_at", "pk"]
        indexes = [models.Index(fields=["chain", "-created_at"])]

    def __str__(self) -> str:
        return f"{self.staff} → {self.chain}"

    @property
    def in_force(self) -> bool:
        """Neither over nor ended."""
        return self.ended_at is None and self.ends_at > timezone.now()
