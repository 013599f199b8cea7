"""Messages of devices as they came."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from core.admin.base import LedgerAdmin, Section
from core.admin.links import readable_json
from devices.models import InboundMessage


class RejectedFilter(admin.SimpleListFilter):
    """Whether it had an effect."""

    title = _("effect")
    parameter_name = "effect"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("none", _("Rejected")), ("some", _("Taken"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "none":
            return queryset.exclude(rejected="")
        return queryset.filter(rejected="") if self.value() == "some" else queryset


@admin.register(InboundMessage)
class InboundMessageAdmin(LedgerAdmin):
    """For the search of a fault. They name no tenant, so only whoever holds the right on the platform sees them."""

    resource = "devices"
    section, place, icon = Section.DEVICES, 70, "inbox"
    list_display = ("received_at", "topic", "rejected", "message_id")
    list_display_links = ("received_at", "topic")
    list_filter = (RejectedFilter, "received_at")
    uuid_fields = ("source_id",)
    fields = ("topic", ("message_id", "source_id"), ("received_at", "rejected"), "content")
    readonly_fields = ("content",)

    @admin.display(description=_("content"))
    def content(self, message: InboundMessage) -> str:
        return readable_json(message.payload)
