"""Who can be reached: birth and last will over MQTT, heartbeats over REST."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Case, F, Q, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from core import live
from devices.enums import CommandStatus, DeviceState, PresenceState
from devices.events import PresenceChanged
from devices.models import Command, Device, Presence
from devices.services.commands import MAY_ARRIVE_LATE

# Three heartbeats missed.
SILENT_AFTER = timedelta(seconds=95)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The figures of one heartbeat; whatever the device did not tell is None."""

    firmware_version: str = ""
    boot_id: UUID | None = None
    connection_id: UUID | None = None
    uptime_s: int | None = None
    outbox_depth: int | None = None
    load_1m: float | None = None
    cpu_c: float | None = None
    disk_free_mb: int | None = None
    config_version: int | None = None


def record_birth(*, device_id: UUID, connection_id: UUID, boot_id: UUID, firmware_version: str) -> None:
    """The device is up on a new connection; commands are addressed to it from now on. It ends the one before."""
    now = timezone.now()
    _change(
        device_id,
        Q(),
        state=PresenceState.ONLINE,
        connection_id=connection_id,
        lost_connection_id=_replaced_by(connection_id),
        boot_id=boot_id,
        connected_at=now,
    )
    Device.objects.filter(pk=device_id).exclude(firmware_version=firmware_version).update(
        firmware_version=firmware_version
    )


def record_will(*, device_id: UUID, connection_id: UUID) -> bool:
    """A connection is gone. False when it is not the present one: a late will hides no newer birth."""
    return _change(
        device_id,
        Q(connection_id=connection_id),
        state=PresenceState.OFFLINE,
        connection_id=None,
        lost_connection_id=connection_id,
    )


def record_heartbeat(*, device: Device, heartbeat: Heartbeat) -> list[Command]:
    """Note a sign of life and hand out the commands that may arrive late. Three queries when nothing changed.

    Without an MQTT connection the device lives but can't be told anything quickly: degraded. A connection whose birth
    was lost on the way (nobody listened at that moment) is learnt from the heartbeat, unless its end was told.
    """
    now = timezone.now()
    presence: Presence = device.presence
    connection_id = presence.connection_id
    if heartbeat.connection_id and heartbeat.connection_id != presence.lost_connection_id:
        connection_id = heartbeat.connection_id
    state = PresenceState.ONLINE if connection_id else PresenceState.DEGRADED
    fields: dict[str, Any] = {
        **(_moved_to(connection_id, now) if connection_id and connection_id != presence.connection_id else {}),
        "last_heartbeat_at": now,
        "uptime_s": heartbeat.uptime_s,
        "outbox_depth": heartbeat.outbox_depth,
        "load_1m": heartbeat.load_1m,
        "cpu_c": heartbeat.cpu_c,
        "disk_free_mb": heartbeat.disk_free_mb,
        "config_version": heartbeat.config_version,
    }
    _change(device.pk, Q(), state=state, changed=presence.state != state, branch_id=device.branch_id, **fields)
    if heartbeat.firmware_version and heartbeat.firmware_version != device.firmware_version:
        Device.objects.filter(pk=device.pk).update(firmware_version=heartbeat.firmware_version)
    return _take_late_commands(device)


def _moved_to(connection_id: UUID, now: datetime) -> dict[str, Any]:
    return {
        "connection_id": connection_id,
        "lost_connection_id": _replaced_by(connection_id),
        "connected_at": now,
    }


def _replaced_by(connection_id: UUID) -> Case:
    """The connection that this one ends: a heartbeat still on its way must not bring it back."""
    present, last_lost = F("connection_id"), F("lost_connection_id")
    return Case(When(connection_id=connection_id, then=last_lost), default=Coalesce(present, last_lost))


def sweep_presence() -> int:
    """Mark devices that fell silent. Returns how many changed."""
    limit = timezone.now() - SILENT_AFTER
    silent = Presence.objects.filter(Q(last_heartbeat_at__lt=limit) | Q(last_heartbeat_at__isnull=True)).exclude(
        Q(connected_at__gte=limit)
    )
    changed = 0
    for device_id in (
        silent.filter(connection_id__isnull=True).exclude(state=PresenceState.OFFLINE).values_list("pk", flat=True)
    ):
        changed += _change(device_id, Q(connection_id__isnull=True), state=PresenceState.OFFLINE)
    for device_id in silent.filter(connection_id__isnull=False, state=PresenceState.ONLINE).values_list(
        "pk", flat=True
    ):
        changed += _change(device_id, Q(state=PresenceState.ONLINE), state=PresenceState.DEGRADED)
    return changed


def _change(
    device_id: UUID, condition: Q, *, changed: bool = True, branch_id: UUID | None = None, **fields: Any
) -> bool:
    """Rewrite the narrow row and, when what people see changed, tell the open pages."""
    with transaction.atomic():
        rows = Presence.objects.filter(condition, pk=device_id, device__state=DeviceState.ACTIVE)
        if not rows.update(**fields):
            return False
        if changed:
            found = branch_id or Device.objects.values_list("branch_id", flat=True).get(pk=device_id)
            live.announce(PresenceChanged(device_id, found))
        return True


def _take_late_commands(device: Device) -> list[Command]:
    now = timezone.now()
    waiting = Command.objects.filter(
        device=device, status=CommandStatus.QUEUED, type__in=MAY_ARRIVE_LATE, expires_at__gt=now
    )
    if not waiting.exists():
        return []
    with transaction.atomic():
        taken = list(waiting.select_for_update(skip_locked=True).order_by("issued_at")[:20])
        Command.objects.filter(pk__in=[command.pk for command in taken]).update(
            status=CommandStatus.SENT, sent_at=now, lease_until=None
        )
    return taken
