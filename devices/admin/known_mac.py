"""MAC addresses registered before delivery."""

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from core.admin.base import ScopedAdmin, Section
from core.admin.forms import AnyModelForm
from devices.models import KnownMac
from devices.services import add_known_mac, change_known_mac, remove_known_mac


@admin.register(KnownMac)
class KnownMacAdmin(ScopedAdmin):
    """Pis with these addresses need no approval. A code they need all the same: an address is not proof."""

    resource = "devices"
    section, place, icon = Section.DEVICES, 50, "fact_check"
    list_display = ("mac_address", "chain")
    list_filter = ("chain",)
    list_select_related = ("chain",)
    search_fields = ("mac_address", "chain__name")
    autocomplete_fields = ("chain",)
    fields = ("chain", "mac_address")
    ordering = ("mac_address",)

    def save_model(self, request: HttpRequest, obj: KnownMac, form: AnyModelForm, change: bool) -> None:
        if change:
            change_known_mac(known=obj, actor=request.user, **form.cleaned_data)
        else:
            obj.pk = add_known_mac(actor=request.user, **form.cleaned_data).pk

    def delete_model(self, request: HttpRequest, obj: KnownMac) -> None:
        remove_known_mac(known=obj, actor=request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[KnownMac]) -> None:
        with transaction.atomic():
            for known in queryset:
                remove_known_mac(known=known, actor=request.user)
