"""Who can be reached: birth and last will over MQTT, heartbeats over REST."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from core import health, live
from core.transitions import transition
from devices.enums import COMMAND_TRANSITIONS, CommandStatus, DeviceState, PresenceState
from devices.events import PresenceChanged
from devices.models import Command, Device, Presence
from devices.services.commands import MAY_ARRIVE_LATE

# Three heartbeats missed.
SILENT_AFTER = timedelta(seconds=95)
# Two heartbeats missed by every device at once: the web is what does not hear. Shorter than `SILENT_AFTER` by more than
# one heartbeat, or the first to be silent would be blamed while the last is not yet.
HEARD_WITHIN = timedelta(seconds=60)
# How long a message may be on its way before a newer one of the same device.
OVERTAKEN_BY = timedelta(minutes=1)
_FIGURES = ("uptime_s", "outbox_depth", "load_1m", "cpu_c", "disk_free_mb", "config_version")


class Untold(Enum):
    """What a heartbeat is silent about, as null says something."""

    UNTOLD = "untold"


UNTOLD: Final = Untold.UNTOLD


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The figures of one heartbeat; whatever the device did not tell is None. `connection_id` None: none is up."""

    firmware_version: str = ""
    sent_at: datetime | None = None
    boot_id: UUID | None = None
    connection_id: UUID | Untold | None = UNTOLD
    uptime_s: int | None = None
    outbox_depth: int | None = None
    load_1m: float | None = None
    cpu_c: float | None = None
    disk_free_mb: int | None = None
    config_version: int | None = None


def record_birth(
    *, device_id: UUID, connection_id: UUID, boot_id: UUID, firmware_version: str, sent_at: datetime | None = None
) -> bool:
    """The device is up on a new connection; commands are addressed to it from now on. `sent_at`: now unless told.

    False when it changed nothing: the device is not let in, has said something newer, or the connection's end was told.
    """
    sent_at = sent_at or timezone.now()
    with transaction.atomic():
        presence = _lock(device_id)
        if presence is None or not _in_order(presence, sent_at) or presence.lost_connection_id == connection_id:
            return False
        _move_to(presence, connection_id, sent_at)
        presence.boot_id = boot_id
        _write(presence, changed=True)
        Device.objects.filter(pk=device_id).exclude(firmware_version=firmware_version).update(
            firmware_version=firmware_version
        )
        return True


def record_will(*, device_id: UUID, connection_id: UUID) -> bool:
    """A connection is gone for good. False when it is not the present one: a late will hides no newer birth."""
    with transaction.atomic():
        presence = _lock(device_id)
        if presence is None:
            return False
        presence.lost_connection_id = connection_id
        ends = _is_up(presence, connection_id)
        if ends:
            presence.connection_id, presence.state = None, PresenceState.OFFLINE
        _write(presence, changed=ends)
        return ends


def record_heartbeat(*, device: Device, heartbeat: Heartbeat) -> list[Command]:
    """Note a sign of life and hand out the commands that may arrive late.

    Its word on the connection counts: one whose birth was lost on the way (nobody listened at that moment) is learnt
    from it, unless its end was told, and null says that none is up. Without an MQTT connection the device lives but
    can't be told anything quickly: degraded.
    """
    with transaction.atomic():
        presence = _lock(device.pk)
        if presence is None:
            return []
        before = presence.state
        _hear(presence, heartbeat)
        presence.state = PresenceState.ONLINE if presence.connection_id else PresenceState.DEGRADED
        presence.last_heartbeat_at = timezone.now()
        for name in _FIGURES:
            setattr(presence, name, getattr(heartbeat, name))
        _write(presence, changed=presence.state != before)
    if heartbeat.firmware_version and heartbeat.firmware_version != device.firmware_version:
        Device.objects.filter(pk=device.pk).update(firmware_version=heartbeat.firmware_version)
    return _take_late_commands(device)


def end_presence(*, device: Device) -> None:
    """The device is shut out: nothing is addressed to it any more. Call it before the device's row is locked."""
    with transaction.atomic():
        presence = _lock(device.pk)
        if presence is not None:
            presence.lost_connection_id = presence.connection_id or presence.lost_connection_id
            presence.connection_id, presence.state = None, PresenceState.OFFLINE
            _write(presence, changed=True)


def _lock(device_id: UUID, rows: QuerySet[Presence] | None = None) -> Presence | None:
    """The row of a device that is let in, locked; births, wills and heartbeats of one device wait for each other.

    `rows`: only when it is one of them still. The device is asked only then: what is revoked while we waited must not
    come back.
    """
    rows = Presence.objects.all() if rows is None else rows
    presence = rows.select_for_update().filter(pk=device_id).first()
    if presence is not None:
        device = Device.objects.filter(pk=device_id, state=DeviceState.ACTIVE).first()
        if device is None:
            return None
        presence.device = device
    return presence


def _write(presence: Presence, *, changed: bool) -> None:
    """Rewrite the narrow row and, when what people see changed, tell the open pages."""
    presence.save(force_update=True)
    if changed:
        live.announce(PresenceChanged(presence.device_id, presence.device.branch_id))


def _in_order(presence: Presence, sent_at: datetime) -> bool:
    """Whether the device said this after the last word on its connection that we heard, by its own clock.

    A word much older was not on its way for so long: the device's clock was put back.
    """
    last = presence.connection_told_at
    return last is None or sent_at >= last or sent_at < last - OVERTAKEN_BY


def _is_up(presence: Presence, connection_id: UUID) -> bool:
    return presence.connection_id == connection_id


def _hear(presence: Presence, heartbeat: Heartbeat) -> None:
    named, sent_at = heartbeat.connection_id, heartbeat.sent_at or timezone.now()
    if named is UNTOLD or not _in_order(presence, sent_at):
        return
    if named is None:
        presence.connection_id, presence.connection_told_at = None, sent_at
    elif named != presence.lost_connection_id:
        _move_to(presence, named, sent_at)


def _move_to(presence: Presence, connection_id: UUID, sent_at: datetime) -> None:
    if not _is_up(presence, connection_id):
        presence.connection_id, presence.connected_at = connection_id, timezone.now()
    presence.state, presence.connection_told_at = PresenceState.ONLINE, sent_at


def sweep_presence() -> int:
    """Mark devices that fell silent; while the platform itself hears nothing, none is blamed for it: unknown.

    It hears nothing without bridge and broker, or when no device's heartbeat came lately; with a single device that
    can't be told from its own silence. Returns how many changed.
    """
    limit = timezone.now() - SILENT_AFTER
    silent = Presence.objects.filter(Q(last_heartbeat_at__lt=limit) | Q(last_heartbeat_at__isnull=True)).exclude(
        Q(connected_at__gte=limit)
    )
    alive = Q(state__in=(PresenceState.ONLINE, PresenceState.DEGRADED))
    if not _hears():
        return _change_all(silent, alive, state=PresenceState.UNKNOWN)
    gone = Q(connection_id__isnull=True) & ~Q(state=PresenceState.OFFLINE)
    unheard = Q(connection_id__isnull=False, state__in=(PresenceState.ONLINE, PresenceState.UNKNOWN))
    return _change_all(silent, gone, state=PresenceState.OFFLINE) + _change_all(
        silent, unheard, state=PresenceState.DEGRADED
    )


def _hears() -> bool:
    """Whether messages over MQTT and heartbeats over REST come through to us."""
    heard = Presence.objects.filter(last_heartbeat_at__gte=timezone.now() - HEARD_WITHIN)
    return all(health.works(name) for name in ("bridge", "broker")) and heard.exists()


def _change_all(rows: QuerySet[Presence], condition: Q, *, state: str) -> int:
    rows = rows.filter(condition)
    return sum(_change(pk, rows, state=state) for pk in rows.values_list("pk", flat=True))


def _change(device_id: UUID, rows: QuerySet[Presence], *, state: str) -> bool:
    with transaction.atomic():
        presence = _lock(device_id, rows)  # it may have been heard since it was listed
        if presence is None:
            return False
        presence.state = state
        _write(presence, changed=True)
        return True


def _take_late_commands(device: Device) -> list[Command]:
    """Offered with every heartbeat until the device says that it has them: an answer of ours may have been lost."""
    now = timezone.now()
    waiting = Command.objects.filter(
        device=device,
        status__in=(CommandStatus.QUEUED, CommandStatus.SENT),
        type__in=MAY_ARRIVE_LATE,
        expires_at__gt=now,
    )
    if not waiting.exists():
        return []
    with transaction.atomic():
        offered = list(waiting.select_for_update(skip_locked=True).order_by("issued_at")[:20])
        for command in offered:
            transition(
                command,
                to=CommandStatus.SENT,
                table=COMMAND_TRANSITIONS,
                actor="heartbeat",
                also={"sent_at": now, "lease_until": None},
            )
    return offered
