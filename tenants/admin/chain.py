"""Chains."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from core.admin.base import ScopedAdmin, Section
from core.admin.forms import AnyModelForm
from tenants.models import Chain
from tenants.services import shops


@admin.register(Chain)
class ChainAdmin(ScopedAdmin):
    """The outer tenants. The slug is part of every MQTT topic, so it stays as it was first chosen."""

    resource = "chains"
    section, place, icon = Section.SHOPS, 10, "storefront"
    list_display = ("name", "slug", "branch_count", "approve_devices", "active", "created_at")
    list_filter = ("active", "approve_devices")
    search_fields = ("name", "slug")
    ordering = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "slug", "active")}),
        (_("Devices"), {"fields": ("approve_devices",)}),
        (_("Personal data"), {"fields": ("retention_days",)}),
    )
    fixed_fields = ("slug",)
    prepopulated_fields = {"slug": ("name",)}
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Chain]:
        chains: QuerySet[Chain] = super().get_queryset(request)
        return chains.annotate(branch_total=Count("branches", distinct=True))

    def get_prepopulated_fields(self, request: HttpRequest, obj: Chain | None = None) -> dict[str, Any]:
        return {} if obj else dict(self.prepopulated_fields)

    @admin.display(description=_("branches"), ordering="branch_total")
    def branch_count(self, chain: Chain) -> int:
        return int(getattr(chain, "branch_total", 0))

    def save_model(self, request: HttpRequest, obj: Chain, form: AnyModelForm, change: bool) -> None:
        if change:
            shops.update_chain(chain=obj, actor=request.user, **form.cleaned_data)
        else:
            obj.pk = shops.create_chain(actor=request.user, **form.cleaned_data).pk

    def delete_model(self, request: HttpRequest, obj: Chain) -> None:
        shops.delete_chain(chain=obj, actor=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: Iterable[Chain]) -> None:
        with transaction.atomic():
            for chain in queryset:
                shops.delete_chain(chain=chain, actor=request.user)
