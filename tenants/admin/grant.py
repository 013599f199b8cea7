"""Grants: who has which role where."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from core.admin.base import ScopedAdmin, ScopedTabular, Section
from core.admin.forms import AnyModelForm
from core.admin.links import state_column
from core.errors import NotAllowed
from tenants import access
from tenants.models import Grant, User
from tenants.services import grant_role, revoke_grant
from tenants.services.people import require_may_give


class GrantForm(AnyModelForm):
    """Asks before the service does, so that what was typed stays. Subclassed for each request with its `actor`."""

    actor: User

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        role, place = data.get("role"), data.get("branch") or data.get("chain")
        if role:
            try:
                require_may_give(self.actor, role, place)
            except NotAllowed as error:
                raise forms.ValidationError(str(error.detail)) from None
        return data


def give(form: AnyModelForm, actor: User) -> Grant:
    """Give the role a form names until it says."""
    wanted: Grant = form.instance
    return grant_role(
        user=wanted.user,
        role=wanted.role.code,
        chain=wanted.chain,
        branch=wanted.branch,
        expires_at=wanted.expires_at,
        actor=actor,
    )


class GrantInline(ScopedTabular):
    """A person's roles: given and taken here; when one ends is changed on its own page."""

    resource = "grants"
    model = Grant
    form = GrantForm
    fields = ("role", "chain", "branch", "expires_at")
    autocomplete_fields = ("role", "chain", "branch")
    show_change_link = True

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        kwargs["form"] = type("ActorsGrantForm", (GrantForm,), {"actor": request.user})
        return super().get_formset(request, obj, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Grant)
class GrantAdmin(ScopedAdmin):
    """Every role anybody holds."""

    resource = "grants"
    section, place, icon = Section.PEOPLE, 20, "key"
    form = GrantForm
    list_display = ("user", "role", "where", "expires_at", "created_at")
    list_filter = ("role", "chain", "expires_at")
    list_select_related = ("user", "role", "chain", "branch")
    search_fields = ("user__email", "user__phone", "user__name")
    contact_lookups = ("user__email", "user__phone")
    name_related = ("user", "role", "chain", "branch")
    autocomplete_fields = ("user", "role", "chain", "branch")
    fields = ("user", "role", ("chain", "branch"), "expires_at")
    fixed_fields = ("user", "role", "chain", "branch")
    ordering = ("-created_at",)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = type("ActorsGrantForm", (GrantForm,), {"actor": request.user})
        return super().get_form(request, obj, change, **kwargs)

    @state_column(description=_("where"), labels={"platform": "warning", "chain": "info", "branch": "success"})
    def where(self, grant: Grant) -> tuple[str, str]:
        return str(grant.scope.value), str(grant.branch or grant.chain or grant.scope.label)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _in_reach(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _in_reach(request, obj)

    def save_model(self, request: HttpRequest, obj: Grant, form: AnyModelForm, change: bool) -> None:
        obj.pk = give(form, access.person(request.user)).pk

    def delete_model(self, request: HttpRequest, obj: Grant) -> None:
        revoke_grant(grant=obj, actor=access.person(request.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Grant]) -> None:
        with transaction.atomic():
            for grant in queryset:
                revoke_grant(grant=grant, actor=access.person(request.user))


def _in_reach(request: HttpRequest, grant: Grant | None) -> bool:
    """Whether the role may do no more there than the requester: only then may they take it or set its end."""
    if grant is None:
        return True
    return access.holds_all(access.person(request.user), grant.role.permissions, grant.branch or grant.chain)
