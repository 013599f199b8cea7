"""Roles: named sets of permissions, as boxes to tick."""

from itertools import groupby
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from core.admin.base import ScopedAdmin, Section
from core.admin.buttons import Link
from core.admin.forms import AnyModelForm
from tenants import access
from tenants.enums import RoleCode
from tenants.models import Role, User
from tenants.permission_words import known_permissions, permission_words, resource_words
from tenants.services import create_role, delete_role, update_role


class RoleForm(AnyModelForm):
    """Asks before the service does, so that what was ticked stays. Subclassed for each request with its `actor`."""

    actor: User
    permissions = forms.MultipleChoiceField(
        label=_("Permissions"),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text=_("“Everything” also holds for what is added later."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("permissions")
        if isinstance(field, forms.MultipleChoiceField):
            names = sorted({*known_permissions(), *(self.instance.permissions or ())})
            groups = groupby(names, key=lambda name: name.partition(":")[0])
            field.choices = [
                (resource_words(group), [(name, permission_words(name)) for name in members])
                for group, members in groups
            ]

    def clean_permissions(self) -> list[str]:
        """Only what the editor holds on the whole platform may be added or taken out."""
        chosen: list[str] = self.cleaned_data["permissions"]
        if not access.holds_all(self.actor, set(chosen) ^ set(self.instance.permissions or ()), None):
            raise forms.ValidationError(_("A role can only be given or lose what you may do yourself."))
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
    links = (
        Link(_("See it as this role"), lambda role: f"{reverse('tenants:see-as')}?role={role.code}", "visibility"),
    )

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
        """The service refuses as well; here, so that nothing is offered which it refuses."""
        if not super().has_delete_permission(request, obj):
            return False
        actor = access.person(request.user)
        return obj is None or (obj.code not in RoleCode.values and access.holds_all(actor, obj.permissions, None))

    @admin.display(description=_("permissions"))
    def summary(self, role: Role) -> str:
        return ", ".join(role.permissions) or capfirst(str(_("only what is their own")))

    def save_model(self, request: HttpRequest, obj: Role, form: AnyModelForm, change: bool) -> None:
        actor = access.person(request.user)
        if change:
            update_role(role=obj, actor=actor, **form.cleaned_data)
        else:
            obj.pk = create_role(actor=actor, **form.cleaned_data).pk

    def delete_model(self, request: HttpRequest, obj: Role) -> None:
        delete_role(role=obj, actor=access.person(request.user))
