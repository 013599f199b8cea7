"""Roles: named sets of permissions, as boxes to tick."""

from itertools import groupby
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from core.admin.base import ReadOnly, ScopedAdmin, Section
from core.admin.forms import AnyModelForm
from tenants.admin.rank import holds_all
from tenants.enums import SHIPPED_PERMISSIONS, RoleCode
from tenants.models import Role, User

# What pages and REST ask for beyond looking, adding, changing and deleting in the admin.
OTHER_PERMISSIONS = frozenset({"rentals:return", "telemetry:view"})


_WORDS = {"*": _("everything")}


def known_permissions() -> set[str]:
    """Every `resource:action` something asks for: the admin's, those of its buttons, and the shipped roles'."""
    found = set(OTHER_PERMISSIONS)
    for permissions in SHIPPED_PERMISSIONS.values():
        found.update(permissions)
    for each in admin.site._registry.values():
        if isinstance(each, ScopedAdmin):
            actions = ("*", "view") if isinstance(each, ReadOnly) else ("*", "view", "add", "change", "delete")
            found.update(f"{each.resource}:{action}" for action in actions)
            found.update(button.permission for button in each.all_buttons())
    return found


class RoleForm(AnyModelForm):
    """A role no greater than what its editor holds. Subclassed for each request with its `actor`."""

    actor: User
    permissions = forms.MultipleChoiceField(
        label=_("Permissions"),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text=_("“*” stands for everything; “carts:*” for everything with carts."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("permissions")
        if isinstance(field, forms.MultipleChoiceField):
            names = sorted({*known_permissions(), *(self.instance.permissions or ())})
            groups = groupby(names, key=lambda name: name.partition(":")[0])
            field.choices = [
                (_WORDS.get(group, group), [(name, name) for name in members]) for group, members in groups
            ]

    def clean_permissions(self) -> list[str]:
        """Only what the editor holds on the whole platform may be added."""
        chosen: list[str] = self.cleaned_data["permissions"]
        added = set(chosen) - set(self.instance.permissions or ())
        if not holds_all(self.actor, added, None, None):
            raise forms.ValidationError(_("You can't give a role that may do more than you may."))
        return chosen


@admin.register(Role)
class RoleAdmin(ScopedAdmin):
    """What people may be made. The shipped manager keeps everything, so that nobody locks everybody out."""

    resource = "roles"
    section, place, icon = Section.PEOPLE, 30, "badge"
    list_display = ("name", "code", "summary")
    search_fields = ("name", "code")
    fields = ("name", "code", "permissions")
    fixed_fields = ("code",)
    actions = None

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = type("ActorsRoleForm", (RoleForm,), {"actor": request.user})
        return super().get_form(request, obj, change, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fixed = list(super().get_readonly_fields(request, obj))
        return [*fixed, "summary"] if obj and obj.code == RoleCode.MANAGER else fixed

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        shows = "summary" if obj and obj.code == RoleCode.MANAGER else "permissions"
        return ["name", "code", shows]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        shipped = obj is not None and obj.code in RoleCode.values
        return not shipped and super().has_delete_permission(request, obj)

    @admin.display(description=_("permissions"))
    def summary(self, role: Role) -> str:
        return ", ".join(role.permissions) or capfirst(str(_("only what is their own")))
