"""Support access: opened on its own page, ended here too; what was stays to be read."""

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from core.admin.base import ReadOnlyAdmin, Section
from core.admin.buttons import Button, Press
from core.admin.links import state_column
from tenants.models import SupportAccess
from tenants.services.support_access import ENDS, end_support_access


def _end(press: Press) -> None:
    end_support_access(opened=press.thing, actor=press.actor)


@admin.register(SupportAccess)
class SupportAccessAdmin(ReadOnlyAdmin):
    """Who of the platform looked into which chain, why and until when."""

    resource = "support_access"
    section, place, icon = Section.PEOPLE, 50, "support_agent"
    list_display = ("staff", "chain", "reason", "created_at", "ends_at", "state")
    list_filter = ("chain", "created_at")
    list_select_related = ("staff", "chain")
    search_fields = ("staff__name", "staff__email", "chain__name", "reason")
    contact_lookups = ("staff__email",)
    name_related = ("staff", "chain")
    fields = (("staff", "chain"), "reason", ("created_at", "ends_at", "ended_at"), "state")
    readonly_fields = ("state",)
    ordering = ("-created_at",)
    buttons = (
        Button(
            name="end",
            label=_("End now"),
            permission=ENDS,
            run=_end,
            icon="block",
            variant="danger",
            done=_("The access is closed. Nothing more is seen with it."),
            when=lambda opened: opened.in_force,
        ),
    )

    @state_column(description=_("state"), labels={"open": "warning", "ended": "info", "over": "success"})
    def state(self, opened: SupportAccess) -> tuple[str, Any]:
        if opened.in_force:
            return "open", _("Open now")
        return ("ended", _("Ended early")) if opened.ended_at else ("over", _("Over"))
