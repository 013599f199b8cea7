"""The side navigation: every list a person may see, by task."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from core.admin.base import ScopedAdmin, Section
from core.admin.links import list_url


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups of the theme's navigation; empty ones are left out. No query beyond the person's grants."""
    groups = [
        {
            "title": section.label,
            "separator": True,
            "items": [_item(each) for each in _in_section(section) if each.has_view_permission(request)],
        }
        for section in Section
    ]
    start = {"title": _("Overview"), "icon": "dashboard", "link": reverse("admin:index")}
    return [{"items": [start]}, *(group for group in groups if group["items"])]


def _in_section(section: Section) -> list[ScopedAdmin]:
    found = [each for each in admin.site._registry.values() if isinstance(each, ScopedAdmin)]
    return sorted((each for each in found if each.section == section), key=lambda each: each.place)


def _item(each: ScopedAdmin) -> dict[str, Any]:
    return {
        "title": capfirst(str(each.opts.verbose_name_plural)),
        "icon": each.icon,
        "link": list_url(each.model),
    }
