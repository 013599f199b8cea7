"""The admin's first page: figures, and what waits for somebody."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db import models
from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from carts.admin.labels import STATUS_LABELS
from carts.enums import OPEN_RENTALS, CartCondition, CartStatus, RentalStatus
from carts.models import Cart, Rental
from core.admin.base import visible_rows
from core.admin.links import badge
from core.admin.requester import may
from core.models import OutboxMessage
from devices.admin.labels import DEVICE_LABELS
from devices.enums import DeviceState, PresenceState
from devices.models import Device, Presence
from tenants.models import Branch


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds `figures`, `attention` and `breakdowns`, each only with what the requester may see. At most 8 queries."""
    figures: list[dict[str, Any]] = []
    attention: list[dict[str, Any]] = []
    breakdowns: list[dict[str, Any]] = []
    if may(request, "branches:view"):
        branches = visible_rows(admin.site, Branch, request)
        active = branches.filter(active=True).count()
        figures.append(_figure(_("Branches"), active, _("active"), _list("tenants_branch")))
    if may(request, "carts:view"):
        _add_carts(request, figures, attention)
        carts = visible_rows(admin.site, Cart, request)
        breakdowns.append(_breakdown(_("Carts"), carts, "status", CartStatus, STATUS_LABELS, "carts_cart"))
    if may(request, "rentals:view"):
        _add_rentals(request, figures, attention)
    if may(request, "devices:view"):
        _add_devices(request, figures, attention)
        devices = visible_rows(admin.site, Device, request)
        breakdowns.append(_breakdown(_("Devices"), devices, "state", DeviceState, DEVICE_LABELS, "devices_device"))
    if may(request, "outbox:view"):
        parked = OutboxMessage.objects.filter(parked_at__isnull=False).count()
        words = ngettext("message was given up", "messages were given up", parked)
        _wait(attention, parked, words, _list("core_outboxmessage", state="parked"))
    return {**context, "figures": figures, "attention": attention, "breakdowns": breakdowns}


def _add_carts(request: HttpRequest, figures: list[dict[str, Any]], attention: list[dict[str, Any]]) -> None:
    found = _by(visible_rows(admin.site, Cart, request), "condition")
    figures.append(_figure(_("Carts"), sum(found.values()), _("in all branches"), _list("carts_cart")))
    suspect, out = found.get(CartCondition.SUSPECT, 0), found.get(CartCondition.MAINTENANCE, 0)
    for condition, count, words in (
        (CartCondition.SUSPECT, suspect, ngettext("cart is suspect", "carts are suspect", suspect)),
        (CartCondition.MAINTENANCE, out, ngettext("cart is in maintenance", "carts are in maintenance", out)),
    ):
        _wait(attention, count, words, _list("carts_cart", condition__exact=condition.value))


def _add_rentals(request: HttpRequest, figures: list[dict[str, Any]], attention: list[dict[str, Any]]) -> None:
    found = _by(visible_rows(admin.site, Rental, request).filter(status__in=OPEN_RENTALS), "status")
    figures.append(_figure(_("Open rentals"), sum(found.values()), _("right now"), _list("carts_rental")))
    late = found.get(RentalStatus.OVERDUE, 0)
    words = ngettext("rental is overdue", "rentals are overdue", late)
    _wait(attention, late, words, _list("carts_rental", status__exact=RentalStatus.OVERDUE.value))


def _add_devices(request: HttpRequest, figures: list[dict[str, Any]], attention: list[dict[str, Any]]) -> None:
    states = _by(visible_rows(admin.site, Device, request), "state")
    active = visible_rows(admin.site, Presence, request).filter(device__state=DeviceState.ACTIVE)
    presence = _by(active, "state")
    online = presence.get(PresenceState.ONLINE, 0)
    figures.append(
        _figure(
            _("Devices online"),
            online,
            _("of %(count)d active") % {"count": states.get(DeviceState.ACTIVE, 0)},
            _list("devices_device"),
        )
    )
    pending = states.get(DeviceState.PENDING, 0)
    words = ngettext("device waits for approval", "devices wait for approval", pending)
    _wait(attention, pending, words, _list("devices_device", state__exact=DeviceState.PENDING.value))
    offline, degraded = presence.get(PresenceState.OFFLINE, 0), presence.get(PresenceState.DEGRADED, 0)
    for state, count, words in (
        (
            PresenceState.OFFLINE,
            offline,
            ngettext("active device is offline", "active devices are offline", offline),
        ),
        (
            PresenceState.DEGRADED,
            degraded,
            ngettext("device has no MQTT connection", "devices have no MQTT connection", degraded),
        ),
    ):
        link = _list("devices_device", state__exact=DeviceState.ACTIVE.value, presence__state__exact=state.value)
        _wait(attention, count, words, link)


def _breakdown(
    title: object,
    rows: models.QuerySet[Any],
    field: str,
    states: type[models.TextChoices],
    labels: Mapping[str, str],
    model: str,
) -> dict[str, Any]:
    """How many rows are in each state, each with a link to them."""
    found = _by(rows, field)
    parts = [
        {
            "badge": badge(labels[state.value], state.label),
            "count": found.get(state.value, 0),
            "url": _list(model, **{f"{field}__exact": state.value}),
        }
        for state in states
    ]
    return {"title": title, "parts": parts}


def _by(rows: models.QuerySet[Any], field: str) -> dict[str, int]:
    return dict(rows.order_by().values_list(field).annotate(total=Count("pk")))


def _list(model: str, **filters: str) -> str:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return f"{reverse(f'admin:{model}_changelist')}?{query}".rstrip("?")


def _figure(title: object, value: int, note: object, url: str) -> dict[str, Any]:
    return {"title": title, "value": value, "note": note, "url": url}


def _wait(attention: list[dict[str, Any]], count: int, words: str, url: str) -> None:
    if count:
        attention.append({"count": count, "words": words, "url": url})
