"""MAC addresses registered before delivery."""

from django.contrib import admin

from core.admin.base import ScopedAdmin, Section
from devices.models import KnownMac


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
