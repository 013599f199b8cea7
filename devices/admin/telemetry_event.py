"""Telemetry."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from core.admin.base import LedgerAdmin, Section
from core.admin.links import readable_json
from devices.models import TelemetryEvent

NEWEST = 1000


class TypeFilter(admin.SimpleListFilter):
    """By the types that occur among the newest events; all of them would take a scan of every day."""

    title = _("type")
    parameter_name = "event_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        newest = model_admin.get_queryset(request).order_by("-pk").values_list("event_type", flat=True)[:NEWEST]
        return [(name, name) for name in sorted(set(newest))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(event_type=self.value()) if self.value() else queryset


@admin.register(TelemetryEvent)
class TelemetryEventAdmin(LedgerAdmin):
    """What devices noticed."""

    resource = "telemetry"
    section, place, icon = Section.DEVICES, 60, "monitoring"
    list_display = ("timestamp", "event_type", "device", "branch", "received_at")
    list_display_links = ("timestamp", "event_type")
    list_filter = (TypeFilter, "timestamp", "branch", "device")
    list_select_related = ("device", "branch")
    fields = (("device", "branch"), "event_type", ("timestamp", "received_at"), "event_id", "content")
    readonly_fields = ("content",)

    @admin.display(description=_("content"))
    def content(self, event: TelemetryEvent) -> str:
        return readable_json(event.event_data)
