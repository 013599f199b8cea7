"""Grants: who has which role where."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from core.admin.base import ScopedAdmin, ScopedTabular, Section
from core.admin.forms import AnyModelForm
from core.admin.links import state_column
from tenants.admin.rank import holds_all
from tenants.models import Grant, User
from tenants.services import grant_role


class GrantForm(AnyModelForm):
    """A grant no greater than what the giver holds. Subclassed for each request with its `actor`."""

    actor: User

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        role = data.get("role")
        if role and not holds_all(self.actor, role.permissions, data.get("chain"), data.get("branch")):
            raise forms.ValidationError(_("You can't give a role that may do more than you may."))
        return data


def save_grant(form: AnyModelForm) -> Grant:
    """Give the role through the service; the same grant twice is one, with the newer end."""
    wanted: Grant = form.instance
    kept = grant_role(user=wanted.user, role=wanted.role.code, chain=wanted.chain, branch=wanted.branch)
    if kept.expires_at != wanted.expires_at:
        kept.expires_at = wanted.expires_at
        kept.save(update_fields=["expires_at"])
    return kept


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

    def save_model(self, request: HttpRequest, obj: Grant, form: AnyModelForm, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
        else:
            obj.pk = save_grant(form).pk
