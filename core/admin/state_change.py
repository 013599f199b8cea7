"""History of every life cycle."""

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from core.admin.base import LedgerAdmin, Section
from core.admin.links import named_link
from core.models import StateChange


@admin.register(StateChange)
class StateChangeAdmin(LedgerAdmin):
    """What went from which state to which, why and through whom."""

    resource = "history"
    section, place, icon = Section.SYSTEM, 20, "history"
    list_display = ("at", "thing", "field", "from_state", "to_state", "reason", "actor")
    list_display_links = ("at",)
    list_filter = ("at",)
    fields = ("at", "thing", ("field", "from_state", "to_state"), "reason", "actor")
    readonly_fields = ("thing",)
    uuid_fields = ("entity_id",)

    @admin.display(description=_("object"))
    def thing(self, change: StateChange) -> Any:
        return named_link(change.entity, change.entity_id, f"{change.entity} {change.entity_id}")
