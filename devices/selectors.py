"""Reads of the devices app, each from the requester."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, QuerySet
from django.utils import timezone

from devices.enums import CommandStatus
from devices.models import Command, Controller, Device, TelemetryEvent
from devices.targets import lock_targets
from tenants import access
from tenants.models import User

Requester = User | AnonymousUser


def devices_visible_to(user: Requester) -> QuerySet[Device]:
    """Devices this person may see, with presence."""
    return access.visible(user, Device.objects.select_related("branch__chain", "presence"), "devices:view")


def telemetry_visible_to(user: Requester) -> QuerySet[TelemetryEvent]:
    """Telemetry this person may see, newest first."""
    return access.visible(user, TelemetryEvent.objects.all(), "telemetry:view")


def device_config(device: Device) -> dict[str, Any]:
    """What a device is to drive: its boards and the carts behind their locks. Two queries."""
    controllers = Controller.objects.filter(device=device)
    return {
        "version": device.config_version,
        "controllers": [
            {
                "id": str(controller.pk),
                "address": controller.address,
                "port": controller.port,
                "baudrate": controller.baudrate,
                "protocol": controller.protocol,
                "hook_closed_bit": controller.hook_closed_bit,
            }
            for controller in controllers
        ],
        "carts": [
            {
                "id": str(target.id),
                "cart_number": target.number,
                "controller_id": str(target.controller_id),
                "locker_id": target.locker_id,
            }
            for target in lock_targets(device.pk)
        ],
    }


def branch_devices(branch_id: UUID) -> QuerySet[Device]:
    """Devices of a branch the requester was already let into, for its page."""
    return (
        Device.objects.filter(branch_id=branch_id)
        .select_related("presence")
        .annotate(boards=Count("controllers"))
        .order_by("name")
    )


def round_trips_ms(device_ids: list[UUID], hours: int = 24) -> dict[UUID, float]:
    """Median time from sending a command to hearing its end, per device, over the last hours. One query."""
    since = timezone.now() - timedelta(hours=hours)
    rows = Command.objects.filter(
        device_id__in=device_ids, status=CommandStatus.DONE, issued_at__gte=since, sent_at__isnull=False
    ).values_list("device_id", "sent_at", "finished_at")
    times: dict[UUID, list[float]] = {}
    for device_id, sent_at, finished_at in rows[:5000]:
        if sent_at is None or finished_at is None:
            continue
        times.setdefault(device_id, []).append((finished_at - sent_at).total_seconds() * 1000)
    return {device_id: sorted(values)[len(values) // 2] for device_id, values in times.items()}
