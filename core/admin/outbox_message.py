"""The outbox: what waits, what was given up, and another try."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from core.admin.base import LedgerAdmin, Section
from core.admin.buttons import Button, Press
from core.admin.links import readable_json, state_column
from core.models import OutboxMessage
from core.outbox import try_again


def _try_again(press: Press) -> None:
    try_again(message=press.thing, actor=press.actor)


class StateFilter(admin.SimpleListFilter):
    """Waiting, parked or delivered."""

    title = _("state")
    parameter_name = "state"
    _CONDITIONS = {
        "parked": Q(parked_at__isnull=False),
        "waiting": Q(done_at__isnull=True, parked_at__isnull=True),
        "delivered": Q(done_at__isnull=False),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("parked", _("Parked")), ("waiting", _("Waiting")), ("delivered", _("Delivered"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        condition = self._CONDITIONS.get(self.value() or "")
        return queryset.filter(condition) if condition else queryset


@admin.register(OutboxMessage)
class OutboxMessageAdmin(LedgerAdmin):
    """Events on their way to their receivers."""

    resource = "outbox"
    section, place, icon = Section.SYSTEM, 10, "outbox"
    list_display = ("id", "event", "receiver", "state", "attempts", "created_at", "available_at")
    list_filter = (StateFilter, "created_at")
    fields = (
        ("event", "receiver"),
        ("state", "attempts"),
        ("created_at", "available_at", "done_at", "parked_at"),
        "last_error",
        "content",
    )
    readonly_fields = ("state", "content")
    buttons = (
        Button(
            name="try-again",
            label=_("Try again"),
            permission="outbox:change",
            run=_try_again,
            icon="refresh",
            variant="primary",
            done=_("It was tried again; the state tells how it went."),
            bulk=True,
            when=lambda message: message.parked_at is not None,
        ),
    )

    @state_column(description=_("state"), labels={"parked": "danger", "waiting": "warning", "delivered": "success"})
    def state(self, message: OutboxMessage) -> tuple[str, Any]:
        if message.parked_at:
            return "parked", _("Parked")
        return ("delivered", _("Delivered")) if message.done_at else ("waiting", _("Waiting"))

    @admin.display(description=_("content"))
    def content(self, message: OutboxMessage) -> str:
        return readable_json(message.payload)
