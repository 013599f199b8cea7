"""Branches."""

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminExpandableTextareaWidget, UnfoldAdminSelectWidget

from core.admin.base import ScopedAdmin, Section
from core.admin.forms import AnyModelForm
from tenants.models import Branch
from tenants.services import shops


@admin.register(Branch)
class BranchAdmin(ScopedAdmin):
    """The shops. Chain and code are part of every MQTT topic, so they stay as they were first chosen."""

    resource = "branches"
    section, place, icon = Section.SHOPS, 20, "store"
    list_display = ("name", "code", "chain", "city", "rental_minutes", "active")
    list_filter = ("active", "chain")
    list_select_related = ("chain",)
    search_fields = ("name", "code", "city", "chain__name")
    autocomplete_fields = ("chain",)
    ordering = ("name",)
    fieldsets = (
        (None, {"fields": (("chain", "code"), "name", "active")}),
        (_("Rentals"), {"fields": ("rental_minutes",)}),
        (_("Place"), {"fields": ("address", ("city", "time_zone"), ("latitude", "longitude"))}),
    )
    fixed_fields = ("chain", "code")
    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A branch with a past is set inactive instead."""
        return False

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "time_zone":
            zones = [(zone, zone.replace("_", " ")) for zone in sorted(available_timezones())]
            return forms.ChoiceField(
                label=_("Time zone"), choices=zones, initial="UTC", widget=UnfoldAdminSelectWidget()
            )
        if db_field.name == "address":
            kwargs["widget"] = UnfoldAdminExpandableTextareaWidget()
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Branch, form: AnyModelForm, change: bool) -> None:
        if change:
            shops.update_branch(branch=obj, actor=request.user, **form.cleaned_data)
        else:
            obj.pk = shops.create_branch(actor=request.user, **form.cleaned_data).pk
