"""The audit: who did what to which thing, as a page and as a table to take away. All of the view is in the address."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import render
from django.utils import formats
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from core import audit_words
from core.errors import DomainError, InvalidInput, NotFound
from core.exports import KINDS, MOST_ROWS, Column, export_response, newest_first
from core.keys import key_of_text
from core.views import error_page
from tenants import access, audit_trail, directory
from tenants.audit_shown import Shown, shown
from tenants.audit_trail import Wanted
from tenants.models import User
from tenants.people_forms import place_choices
from tenants.services.audit import note_audit_export
from tenants.services.people import home_of

PAGE = 50
FILTERS = ("who", "action", "kind", "place", "since", "until", "thing")
COLUMNS: tuple[Column[Shown], ...] = (
    Column(_("Time (UTC)"), lambda row: row.entry.at),
    Column(_("Who"), lambda row: row.who.label),
    Column(_("Kind of actor"), lambda row: row.entry.get_actor_kind_display()),
    Column(_("Id of who"), lambda row: row.entry.actor_id),
    Column(_("Really there"), lambda row: row.behind.label if row.behind else ""),
    Column(_("Id of who was there"), lambda row: row.entry.behind_id),
    Column(_("Personal token"), lambda row: row.entry.token_id),
    Column(_("What"), lambda row: row.what.text),
    Column(_("Kind of thing"), lambda row: row.kind),
    Column(_("Thing"), lambda row: row.thing.label),
    Column(_("Id of the thing"), lambda row: row.entry.entity_id),
    Column(_("Where"), lambda row: row.place.label if row.place else ""),
    Column(_("Before"), lambda row: _told(row, "before", "removed")),
    Column(_("After"), lambda row: _told(row, "after", "added")),
    Column(_("Reason"), lambda row: row.entry.reason),
    Column(_("Address"), lambda row: row.entry.address),
    Column(_("Request"), lambda row: row.entry.request_id),
)


@never_cache
@require_safe
@login_required
def audit_page(request: HttpRequest) -> HttpResponse:
    """The newest entries first, narrowed as the address says."""
    asker = access.person(request.user)
    if not access.may(asker, audit_trail.VIEW):
        return error_page(request, NotFound())
    wanted = wanted_of(request.GET)
    found = list(audit_trail.entries(asker, wanted)[: PAGE + 1])
    kept = kept_filters(request.GET)
    context = {
        "rows": shown(asker, found[:PAGE]),
        "older": urlencode({**kept, "before": found[PAGE - 1].pk}) if len(found) > PAGE else "",
        "newest": urlencode(kept),
        "is_newest": wanted.before is None,
        "kept": kept,
        "actions": _choices({code: word.text for code, word in audit_words.deeds().items()}),
        "kinds": audit_words.kinds(),
        "places": place_choices(directory.places(asker, audit_trail.VIEW)),
        "most": formats.number_format(MOST_ROWS, force_grouping=True),
    }
    return render(request, "tenants/audit.html", context)


@require_POST
@login_required
def audit_export(request: HttpRequest) -> HttpResponseBase:
    """The same entries, at most 100,000 of the newest, as CSV or XLSX."""
    asker = access.person(request.user)
    format = request.POST.get("format", "")
    if not access.may(asker, audit_trail.VIEW):
        return error_page(request, NotFound())
    if format not in KINDS:
        return error_page(request, InvalidInput())
    wanted = wanted_of(request.GET)
    try:
        note_audit_export(actor=asker, format=format, filters=_told_of(wanted), place=home_of(asker))
    except DomainError as error:
        return error_page(request, error)
    rows = _rows(asker, wanted)
    return export_response(name="audit", kind=format, columns=COLUMNS, rows=rows)


def wanted_of(given: QueryDict) -> Wanted:
    """What an address asks for; nonsense counts as nothing."""
    kept = kept_filters(given)
    return Wanted(
        who=kept.get("who", ""),
        action=kept.get("action", ""),
        kind=kept.get("kind", ""),
        place=key_of_text(kept.get("place", "").rpartition(":")[2]),
        since=audit_trail.day(kept.get("since", "")),
        until=audit_trail.day(kept.get("until", "")),
        thing=kept.get("thing", ""),
        before=audit_trail.entry_number(given.get("before", "")),
    )


def _told_of(wanted: Wanted) -> dict[str, str]:
    """The filters without free text: it may be somebody's name or address, and the audit forgets nothing."""
    found = {
        "who": key_of_text(wanted.who),
        "action": wanted.action if wanted.action in audit_words.deeds() else "",
        "kind": wanted.kind if audit_words.kind_of(wanted.kind) else "",
        "place": wanted.place,
        "since": wanted.since,
        "until": wanted.until,
        "thing": wanted.thing if wanted.thing.isdecimal() else key_of_text(wanted.thing),
    }
    return {name: str(value) for name, value in found.items() if value}


def kept_filters(given: QueryDict) -> dict[str, str]:
    """The filters of an address, without the empty ones and the page."""
    texts = {name: given.get(name, "").replace("\x00", "").strip()[:100] for name in FILTERS}
    return {name: text for name, text in texts.items() if text}


def _rows(asker: User, wanted: Wanted) -> Iterator[Shown]:
    for entries in newest_first(audit_trail.entries(asker, wanted)):
        yield from shown(asker, entries)


def _told(row: Shown, side: str, moved: str) -> str:
    lines = [(each.label, getattr(each, side) or ", ".join(getattr(each, moved))) for each in row.changes]
    return "; ".join(f"{label}: {text}" for label, text in lines if text)


def _choices(words: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted(((code, str(text)) for code, text in words.items()), key=lambda pair: pair[1])
