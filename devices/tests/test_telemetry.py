"""Telemetry: stored once, in one statement, in the partition of its day."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.tests.race import race
from devices import services
from devices.models import Device, TelemetryEvent
from devices.mqtt import inbound
from devices.services.telemetry import AHEAD, KEEP, Event, drop_old_partitions, ensure_partitions
from devices.tests.factories import make_device
from devices.tests.messages import device_topic, event, telemetry, wire_time

pytestmark = pytest.mark.django_db


def say(device: Device, payload: bytes) -> None:
    inbound.handle(device_topic(device, "telemetry"), payload)


def partition_of(row: TelemetryEvent) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM devices_telemetryevent WHERE id = %s", [row.pk])
        return str(cursor.fetchone()[0])


def partitions() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = oid"
                       " WHERE inhparent = 'devices_telemetryevent'::regclass")  # fmt: skip
        return {name for (name,) in cursor.fetchall()}


def made_up_events(count: int) -> list[Event]:
    return [Event(uuid4(), "cart_sensor", timezone.now(), {"n": number}) for number in range(count)]


def test_event_is_stored_as_it_was_told() -> None:
    device, at = make_device(), timezone.now().replace(microsecond=123000)

    say(device, telemetry(event(event_type="door", timestamp=wire_time(at), event_data={"ט": [1, None, {"a": 1.5}]})))

    row = TelemetryEvent.objects.get()
    assert (row.device_id, row.branch_id, row.event_type, row.timestamp) == (device.pk, device.branch_id, "door", at)
    assert row.event_data == {"ט": [1, None, {"a": 1.5}]}


def test_event_told_again_in_another_batch_is_stored_once() -> None:
    device, first, second = make_device(), event(), event()

    say(device, telemetry(first))
    say(device, telemetry(first, second, second))

    assert TelemetryEvent.objects.count() == 2


def test_event_told_again_is_stored_once_control() -> None:
    """Without the unique index it is stored twice."""
    device, told = make_device(), event()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'devices_telemetryevent'::regclass AND contype = 'u'"
        )
        [(name,)] = cursor.fetchall()
        cursor.execute(f"ALTER TABLE devices_telemetryevent DROP CONSTRAINT {connection.ops.quote_name(name)}")

    say(device, telemetry(told))
    say(device, telemetry(told))

    assert TelemetryEvent.objects.count() == 2


def test_same_event_id_of_two_devices_is_two_events() -> None:
    told = event()

    say(make_device(), telemetry(told))
    say(make_device(), telemetry(told))

    assert TelemetryEvent.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_same_batch_by_two_bridges_at_once_is_stored_once() -> None:
    device, events = make_device(), made_up_events(50)

    stored = race(lambda: services.store_telemetry(device=device, events=events), times=3)

    assert sum(stored) == 50
    assert TelemetryEvent.objects.count() == 50


def test_five_hundred_events_are_one_statement() -> None:
    device, events = make_device(), made_up_events(500)

    with CaptureQueriesContext(connection) as queries:
        stored = services.store_telemetry(device=device, events=events)

    assert (stored, len(queries)) == (500, 1)


def test_empty_batch_costs_nothing() -> None:
    device = make_device()

    with CaptureQueriesContext(connection) as queries:
        assert services.store_telemetry(device=device, events=[]) == 0

    assert len(queries) == 0


def test_telemetry_of_nobody_is_rejected() -> None:
    device = make_device()

    inbound.handle(device_topic(device, "telemetry").replace(str(device.pk), str(uuid4())), telemetry(event()))

    assert not TelemetryEvent.objects.exists()


# Partitions.


def test_event_of_today_lies_in_todays_partition() -> None:
    say(make_device(), telemetry(event()))

    row = TelemetryEvent.objects.get()
    assert partition_of(row) == f"devices_telemetryevent_{row.timestamp:%Y%m%d}"


@pytest.mark.parametrize(
    "at",
    [datetime(1, 1, 2, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)],
    ids=["year-1", "epoch", "year-9999"],
)
def test_clock_gone_wild_lands_in_the_default_partition(at: datetime) -> None:
    text = f"{at:%Y-%m-%dT%H:%M:%S}Z".rjust(20, "0")

    say(make_device(), telemetry(event(timestamp=text)))

    assert partition_of(TelemetryEvent.objects.get()) == "devices_telemetryevent_default"


def test_partitions_are_made_ahead_and_making_them_twice_is_once() -> None:
    today = date(2031, 5, 30)

    ensure_partitions(today=today)
    first = partitions()
    ensure_partitions(today=today)

    assert partitions() == first
    wanted = {f"devices_telemetryevent_{today + timedelta(days=day):%Y%m%d}" for day in range(-1, AHEAD)}
    assert wanted <= first


def test_partitions_past_their_keeping_time_are_dropped_and_no_others() -> None:
    today = date(2031, 5, 30)
    for day in (today - KEEP - timedelta(days=10), today):
        ensure_partitions(today=day)
    before = partitions()
    old = {name for name in before if name.rpartition("_")[2] < f"{today - KEEP:%Y%m%d}"}

    dropped = drop_old_partitions(today=today)

    assert set(dropped) == old != set()
    assert partitions() == before - old
    assert "devices_telemetryevent_default" in partitions()


def test_day_whose_events_came_before_its_partition_still_gets_one() -> None:
    """The job was away for days: events of today lie in the default partition when it comes back."""
    today = date(2031, 5, 30)
    at = datetime(2031, 5, 30, 12, tzinfo=UTC)
    services.store_telemetry(device=make_device(), events=[Event(uuid4(), "cart_sensor", at, {})])

    ensure_partitions(today=today)

    assert partition_of(TelemetryEvent.objects.get()) == "devices_telemetryevent_20310530"
