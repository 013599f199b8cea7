"""Global search: lists by name, then rows of every list that offers it."""

from collections.abc import Iterator
from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.utils.text import capfirst

from core.admin.base import ScopedAdmin, visible_rows
from core.admin.links import change_url, list_url

MOST_PER_LIST = 6


def find(site: AdminSite, request: HttpRequest, term: str) -> list[dict[str, Any]]:
    """What this person may see and `term` is found in. One query for each list that offers search."""
    admins = [
        admin
        for admin in site._registry.values()
        if isinstance(admin, ScopedAdmin) and admin.has_view_permission(request)
    ]
    return [*_lists(admins, term), *_rows(admins, request, term)]


def _lists(admins: list[ScopedAdmin], term: str) -> Iterator[dict[str, Any]]:
    for admin in admins:
        name = capfirst(str(admin.opts.verbose_name_plural))
        if term.lower() in name.lower():
            section, link = str(admin.section.label), list_url(admin.model)
            yield {"title": name, "description": section, "link": link, "icon": admin.icon}


def _rows(admins: list[ScopedAdmin], request: HttpRequest, term: str) -> Iterator[dict[str, Any]]:
    for admin in admins:
        if not admin.in_global_search or not admin.get_search_fields(request):
            continue
        rows, _ = admin.get_search_results(request, visible_rows(admin.admin_site, admin.model, request), term)
        for row in rows[:MOST_PER_LIST]:
            kind, link = str(admin.opts.verbose_name), change_url(admin.opts.label, row.pk)
            yield {"title": admin.describe(row), "description": kind, "link": link, "icon": admin.icon}
