"""Commands."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from core.admin.base import LedgerAdmin, Section
from core.admin.buttons import Button, Press
from core.admin.links import readable_json, state_column
from devices.admin.labels import COMMAND_LABELS
from devices.enums import OPEN_COMMANDS
from devices.models import Command
from devices.services import cancel_command


def _cancel(press: Press) -> None:
    cancel_command(command=press.thing, actor=press.actor)


def _after(command: Command, at: datetime | None) -> str:
    """How long after it was issued: the hops of an unlock lie milliseconds apart."""
    if at is None:
        return "–"
    passed = at - command.issued_at
    if passed > timedelta(seconds=10):
        return f"{at:%Y-%m-%d %H:%M:%S}"
    return f"+{passed / timedelta(milliseconds=1):.0f} ms"


class TypeFilter(admin.SimpleListFilter):
    """By type; the types are the wire's, so that the table need not be read for them."""

    title = _("type")
    parameter_name = "type"
    TYPES = (
        "unlock",
        "lock",
        "apply_config",
        "restart",
        "install_firmware",
        "identify",
        "cancel",
        "open_door",
        "close_door",
        "release_egress",
    )

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(name, name) for name in self.TYPES]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(type=self.value()) if self.value() else queryset


@admin.register(Command)
class CommandAdmin(LedgerAdmin):
    """What devices were told, each hop with its time. Only the device's word or the clock moves one on."""

    resource = "devices"
    section, place, icon = Section.DEVICES, 30, "send"
    list_display = ("issued_at", "type", "device", "status_label", "reason", "sent", "acked", "finished")
    list_display_links = ("issued_at", "type")
    list_filter = ("status", TypeFilter, "issued_at", "device")
    list_select_related = ("device",)
    ordering = ("-issued_at",)
    uuid_fields = ("id", "target_id", "device_id")
    fieldsets = (
        (None, {"fields": (("device", "type", "status_label"), ("reason", "actor"), "target_id")}),
        (_("Hops"), {"fields": (("issued_at", "sent"), ("acked", "finished"), "expires_at", "lease_until")}),
        (_("What was seen"), {"fields": (("lock", "present", "seq"), "timing", "late")}),
        (_("On the wire"), {"fields": ("topic", "connection_id", "arguments")}),
    )
    readonly_fields = ("status_label", "sent", "acked", "finished", "timing", "late", "arguments")
    buttons = (
        Button(
            name="cancel",
            label=_("Cancel"),
            permission="devices:command",
            run=_cancel,
            icon="cancel",
            variant="danger",
            question=_("At once when it was not sent yet; else the device is asked, which may be too late."),
            when=lambda command: command.status in OPEN_COMMANDS,
        ),
    )

    @state_column(description=_("status"), ordering="status", labels=COMMAND_LABELS)
    def status_label(self, command: Command) -> tuple[str, str]:
        return command.status, command.get_status_display()

    @admin.display(description=_("sent"))
    def sent(self, command: Command) -> str:
        return _after(command, command.sent_at)

    @admin.display(description=_("received by the Pi"))
    def acked(self, command: Command) -> str:
        return _after(command, command.acked_at)

    @admin.display(description=_("finished"))
    def finished(self, command: Command) -> str:
        return _after(command, command.finished_at)

    @admin.display(description=_("timing (ms)"))
    def timing(self, command: Command) -> str:
        return readable_json(command.timing_ms)

    @admin.display(description=_("late answer"))
    def late(self, command: Command) -> str:
        return readable_json(command.late_result)

    @admin.display(description=_("arguments"))
    def arguments(self, command: Command) -> str:
        return readable_json(command.args)
