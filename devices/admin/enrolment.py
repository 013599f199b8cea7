"""Enrolment codes: made on a page of a branch or a device, shown once with their QR, then only rows without secrets."""

import json
from typing import Any

import segno
from django.conf import settings
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _

from core.admin.base import ReadOnlyAdmin, Section
from core.admin.buttons import Button, Press, ShownOnce, offer
from core.admin.links import state_column
from devices.models import Device, EnrolmentCode
from devices.services import create_enrolment_code
from tenants.models import Branch


def show_new_code(*, branch: Branch, device: Device | None, actor: Any) -> ShownOnce:
    """Make a code and the page that shows it once. The QR holds what a Pi's `config.json` takes."""
    row, code = create_enrolment_code(branch=branch, device=device, actor=actor)
    config = {"api_url": settings.PUBLIC_URL.rstrip("/"), "branch_code": branch.code, "enrolment_code": code}
    picture = segno.make(json.dumps(config, separators=(",", ":")), error="m")
    context = {
        "title": _("Enrolment code"),
        "code": code,
        "branch": branch,
        "device": device,
        "expires_at": row.expires_at,
        "config": json.dumps(config, indent=2),
        "qr": mark_safe(picture.svg_inline(scale=6, border=2)),  # noqa: S308 (squares of our own making)
    }
    return ShownOnce("admin/devices/enrolment_code.html", context)


def _for_new_device(press: Press) -> ShownOnce:
    return show_new_code(branch=press.thing, device=None, actor=press.actor)


offer(
    Branch,
    Button(
        name="enrolment-code",
        label=_("Enrolment code for a new Pi"),
        permission="devices:change",
        run=_for_new_device,
        icon="qr_code_2",
        when=lambda branch: branch.active,
    ),
)


class StateFilter(admin.SimpleListFilter):
    """Open, used or expired."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("Open")), ("used", _("Used")), ("expired", _("Expired"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = timezone.now()
        conditions = {
            "open": Q(used_at__isnull=True, expires_at__gt=now),
            "used": Q(used_at__isnull=False),
            "expired": Q(used_at__isnull=True, expires_at__lte=now),
        }
        condition = conditions.get(self.value() or "")
        return queryset.filter(condition) if condition else queryset


@admin.register(EnrolmentCode)
class EnrolmentCodeAdmin(ReadOnlyAdmin):
    """Which codes were made by whom, and which let somebody in. The codes themselves are not kept."""

    resource = "devices"
    section, place, icon = Section.DEVICES, 40, "qr_code_2"
    list_display = ("created_at", "branch", "device", "state", "expires_at", "used_at", "created_by")
    list_filter = (StateFilter, "branch", "device")
    list_select_related = ("branch", "device", "created_by")
    ordering = ("-created_at",)
    in_global_search = False
    fields = (("branch", "device"), "state", ("created_at", "created_by"), ("expires_at", "used_at"))
    readonly_fields = ("state",)

    @state_column(description=_("state"), labels={"open": "info", "used": "success", "expired": "warning"})
    def state(self, row: EnrolmentCode) -> tuple[str, Any]:
        if row.used_at:
            return "used", _("Used")
        return ("open", _("Open")) if row.expires_at > timezone.now() else ("expired", _("Expired"))
