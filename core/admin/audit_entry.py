"""The audit, for staff of the platform."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from core import audit_words
from core.admin.base import LedgerAdmin, Section
from core.admin.links import badge, named_link, readable_json
from core.audit import naming
from core.models import ActorKind, AuditEntry

_BADGES = {"ok": "success", "warn": "warning", "bad": "danger", "info": "info"}


@admin.register(AuditEntry)
class AuditEntryAdmin(LedgerAdmin):
    """Who did what to which thing. Nobody can change a row, here or elsewhere."""

    resource = "audit"
    section, place, icon = Section.SYSTEM, 5, "policy"
    list_display = ("at", "who", "what", "thing", "address")
    list_display_links = ("at",)
    list_filter = ("at", "actor_kind")
    fields = (
        ("at", "request_id"),
        ("who", "actor_kind", "address"),
        ("behind", "token_id"),
        ("what", "thing"),
        ("chain", "branch"),
        "reason",
        ("was", "now"),
    )
    readonly_fields = ("who", "behind", "what", "thing", "chain", "branch", "was", "now")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the names of people as they are now: none of somebody who was erased."""
        people = get_user_model()._default_manager.exclude(name="")
        rows = super().get_queryset(request)
        named_rows: QuerySet[Any] = rows.annotate(
            who_name=Subquery(people.filter(pk=OuterRef("actor_id")).values("name")[:1]),
            behind_name=Subquery(people.filter(pk=OuterRef("behind_id")).values("name")[:1]),
        )
        return named_rows

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return ["entity_id__exact"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """The exact id of anything a row names: indexed, whatever the size of the table."""
        term = search_term.strip()
        return (queryset.filter(naming(term)) if term else queryset), False

    @admin.display(description=_("done by"))
    def who(self, entry: Any) -> Any:
        if entry.actor_kind == ActorKind.JOB:
            return audit_words.job(entry.actor_name)
        label = "devices.device" if entry.actor_kind == ActorKind.DEVICE else "tenants.user"
        return named_link(label, entry.actor_id, entry.who_name or entry.actor_id)

    @admin.display(description=_("acting as"))
    def behind(self, entry: Any) -> Any:
        if not entry.behind_id:
            return "–"
        return named_link("tenants.user", entry.behind_id, entry.behind_name or entry.behind_id)

    @admin.display(description=_("action"))
    def what(self, entry: AuditEntry) -> Any:
        word = audit_words.deed(entry.action)
        return badge(_BADGES[word.kind], word.text)

    @admin.display(description=_("thing"))
    def thing(self, entry: AuditEntry) -> Any:
        text = f"{audit_words.kind_name(entry.entity)} {entry.entity_id}"
        # Of what is gone there is no page any more.
        return text if entry.action == "deleted" else named_link(entry.entity, entry.entity_id, text)

    @admin.display(description=_("chain"))
    def chain(self, entry: AuditEntry) -> Any:
        return named_link("tenants.chain", entry.chain_id, entry.chain_id) if entry.chain_id else "–"

    @admin.display(description=_("branch"))
    def branch(self, entry: AuditEntry) -> Any:
        return named_link("tenants.branch", entry.branch_id, entry.branch_id) if entry.branch_id else "–"

    @admin.display(description=_("before"))
    def was(self, entry: AuditEntry) -> Any:
        return readable_json(entry.before)

    @admin.display(description=_("after"))
    def now(self, entry: AuditEntry) -> Any:
        return readable_json(entry.after)
