"""Who can be reached."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from core.admin.base import ReadOnlyAdmin, Section
from core.admin.links import state_column
from devices.admin.labels import PRESENCE_LABELS
from devices.models import Presence


@admin.register(Presence)
class PresenceAdmin(ReadOnlyAdmin):
    """Connections and the figures of the last heartbeat."""

    resource = "devices"
    section, place, icon = Section.DEVICES, 15, "sensors"
    list_display = ("device", "branch", "state_label", "last_heartbeat_at", "load_1m", "cpu_c", "disk_free_mb")
    list_filter = ("state", "device__branch", "last_heartbeat_at")
    list_select_related = ("device__branch",)
    search_fields = ("device__name", "device__branch__name")
    in_global_search = False
    ordering = ("device__name",)
    fields = (
        ("device", "state_label"),
        ("connected_at", "last_heartbeat_at"),
        ("connection_id", "boot_id"),
        ("load_1m", "cpu_c"),
        ("disk_free_mb", "uptime_s"),
        ("outbox_depth", "config_version"),
    )
    readonly_fields = ("state_label",)

    @state_column(description=_("state"), ordering="state", labels=PRESENCE_LABELS)
    def state_label(self, presence: Presence) -> tuple[str, str]:
        return presence.state, presence.get_state_display()

    @admin.display(description=_("branch"), ordering="device__branch__name")
    def branch(self, presence: Presence) -> str:
        return presence.device.branch.name
