"""Whatever comes over MQTT: taken once, or counted and dropped; nothing it holds stops the bridge."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carts.models import Cart
from carts.tests.factories import make_cart
from core.models import OutboxMessage
from core.tests.race import race
from devices.enums import PresenceState
from devices.models import Command, InboundMessage, Presence, TelemetryEvent
from devices.mqtt import inbound
from devices.tests.factories import make_command, make_device
from devices.tests.messages import (
    answer,
    answer_topic,
    birth,
    cart_topic,
    device_topic,
    event,
    lock_report,
    message,
    telemetry,
)

pytestmark = pytest.mark.django_db

# Fixed: they stand in the names of tests, which every worker must call the same.
DEVICE, CART = UUID(int=0xD), UUID(int=0xCA)
STATUS = f"cartwise/chain/BRANCH-1/devices/{DEVICE}/status"
TELEMETRY = f"cartwise/chain/BRANCH-1/devices/{DEVICE}/telemetry"
CART_STATUS = f"cartwise/chain/BRANCH-1/carts/{CART}/status"


@pytest.fixture(autouse=True)
def _nothing_dropped_yet() -> None:
    inbound.dropped.clear()


def assert_dropped_without_a_trace(times: int = 1) -> None:
    assert inbound.dropped["malformed"] == times
    written = [model.objects.count() for model in (InboundMessage, OutboxMessage, TelemetryEvent)]
    assert written == [0, 0, 0]


MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"v": 1, "x": "\xff\xfe"}',
    "not an object": b"[1, 2, 3]",
    "a number": b"1e400",
    "NaN": message(command_id=None, seq=1, timing_ms={"x": 1}).replace(b": 1}", b": NaN}"),
    "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "array bomb": b"[" * 100_000,
    "no version": json.dumps({"message_id": str(uuid4())}).encode(),
    "other version": birth(uuid4(), v=2),
    "version true": birth(uuid4(), v=True),
    "no message id": birth(uuid4(), message_id=None),
    "message id not a UUID": birth(uuid4(), message_id="x' OR 1=1 --"),
    "no time": birth(uuid4(), sent_at=None),
    "time without zone": birth(uuid4(), sent_at="2026-01-01T00:00:00"),
    "no such day": birth(uuid4(), sent_at="2026-02-30T00:00:00Z"),
    "state unheard of": birth(uuid4(), state="sideways"),
    "NUL in a text": birth(uuid4(), firmware_version="2\0"),
    "lone surrogate": birth(uuid4()).replace(b'"2.0.0"', rb'"\ud800"'),
    "oversized": birth(uuid4(), padding="x" * 131_072),
    "outcome unheard of": message(command_id=uuid4(), outcome="won"),
    "answer without outcome": message(command_id=uuid4()),
    "seq negative": message(command_id=None, seq=-1),
    "seq a fraction": message(command_id=None, seq=1.5),
    "seq beyond 2^53": message(command_id=None, seq=2**63),
    "present a text": message(command_id=None, seq=1, present="yes"),
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("topic", [STATUS, CART_STATUS])
def test_malformed_payload_is_counted_and_dropped(topic: str, payload: bytes) -> None:
    inbound.handle(topic, payload)

    assert_dropped_without_a_trace()


BAD_BATCHES: dict[str, bytes] = {
    "no events": message(),
    "events not a list": message(events={"0": event()}),
    "501 events": telemetry(*[{**event(), "event_data": {}} for _ in range(501)]),
    "one without id": telemetry(event(), event(event_id=None)),
    "one with NUL": telemetry(event(), event(event_data={"a": {"b\0": 1}})),
    "one with a huge number": telemetry(event(event_data={"n": 10**400})),
    "name too long": telemetry(event(event_type="x" * 65)),
    "data not an object": telemetry(event(event_data=[1])),
}


@pytest.mark.parametrize("payload", BAD_BATCHES.values(), ids=BAD_BATCHES.keys())
def test_batch_with_one_bad_event_is_dropped_whole(payload: bytes) -> None:
    inbound.handle(TELEMETRY, payload)

    assert_dropped_without_a_trace()


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "/",
        "cartwise",
        "$SYS/broker/uptime",
        f"cartwise/chain/BRANCH-1/devices/{DEVICE}",
        f"cartwise/chain/BRANCH-1/devices/{DEVICE}/status/more",
        f"cartwise/chain/BRANCH-1/devices/{DEVICE}/nonsense",
        f"cartwise/chain/BRANCH-1/doors/{DEVICE}/status",
        "cartwise/chain/BRANCH-1/devices/not-a-uuid/status",
        f"cartwise/chain/../devices/{DEVICE}/status",
        f"cartwise/ch ain/BRANCH-1/devices/{DEVICE}/status",
        f"cartwise/chain/BRANCH-1/devices/{DEVICE}/status\n",
        f"other/chain/BRANCH-1/devices/{DEVICE}/status",
        f"cartwise/{'x' * 300}/BRANCH-1/devices/{DEVICE}/status",
    ],
)
def test_foreign_topic_is_counted_and_dropped(topic: str) -> None:
    inbound.handle(topic, birth(uuid4()))

    assert_dropped_without_a_trace()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
field_names = st.sampled_from(
    ["v", "message_id", "sent_at", "state", "connection_id", "boot_id", "command_id", "outcome", "reason", "lock"]
    + ["present", "seq", "timing_ms", "events", "firmware_version"]
)
near_misses = st.builds(
    lambda base, wrong: json.dumps({**json.loads(base), **wrong}).encode(),
    st.sampled_from([birth(uuid4()), lock_report(seq=1), message(command_id=uuid4(), outcome="done")]),
    st.dictionaries(field_names, json_values, min_size=1, max_size=3),
)
topics = st.sampled_from([STATUS, TELEMETRY, CART_STATUS]) | st.text(max_size=80)


@settings(max_examples=150, deadline=None, derandomize=False, print_blob=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(topic=topics, payload=st.binary(max_size=200) | json_values.map(lambda v: json.dumps(v).encode()) | near_misses)
def test_nothing_that_comes_raises(topic: str, payload: bytes) -> None:
    """Random bytes, random JSON, and good messages with a field gone wrong. No device of ours is meant by any."""
    inbound.handle(topic, payload)

    assert not TelemetryEvent.objects.exists()
    assert set(inbound.dropped) <= {
        "malformed",
        "duplicate",
        "unknown-command",
        "unknown-device",
        "late-will",
        "birth-not-taken",
    }


# Duplicates.


@pytest.mark.parametrize("kind", ["birth", "lock", "telemetry", "answer"])
def test_message_that_comes_twice_counts_once(kind: str) -> None:
    cart, told = make_cart(), event()
    assert cart.controller is not None
    device = cart.controller.device
    command = make_command(device=device, target_id=cart.pk)
    topic, payload = {
        "birth": (device_topic(device), birth(uuid4())),
        "lock": (cart_topic(device, cart.pk), lock_report(seq=5)),
        "telemetry": (device_topic(device, "telemetry"), telemetry(told)),
        "answer": (answer_topic(command), answer(command)),
    }[kind]

    inbound.handle(topic, payload)
    first = _state()
    inbound.handle(topic, payload)

    assert _state() == first
    assert inbound.dropped == {"duplicate": 1}


def _state() -> list[list[dict[str, Any]]]:
    models = (InboundMessage, OutboxMessage, TelemetryEvent, Presence, Command, Cart)
    return [list(model.objects.order_by("pk").values()) for model in models]


@pytest.mark.django_db(transaction=True)
def test_same_message_to_two_bridges_at_once_counts_once() -> None:
    device = make_device()
    topic, payload = cart_topic(device, uuid4()), lock_report(seq=5)

    race(lambda: inbound.handle(topic, payload), times=4)

    assert InboundMessage.objects.count() == 1
    assert OutboxMessage.objects.filter(event="devices.LockReported").count() == 1


@pytest.mark.django_db(transaction=True)
def test_same_message_to_two_bridges_at_once_counts_once_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the unique message id every copy counts."""
    monkeypatch.setattr(inbound, "_store_raw", lambda *args: True)
    device = make_device()
    topic, payload = cart_topic(device, uuid4()), lock_report(seq=5)

    race(lambda: inbound.handle(topic, payload), times=4)

    assert OutboxMessage.objects.filter(event="devices.LockReported").count() == 4


def test_two_sources_may_use_the_same_message_id() -> None:
    device, message_id = make_device(), uuid4()

    inbound.handle(device_topic(device), birth(uuid4(), message_id=message_id))
    inbound.handle(cart_topic(device, uuid4()), lock_report(seq=1, message_id=message_id))

    assert InboundMessage.objects.count() == 2


def test_message_is_kept_as_it_came_with_the_reason_it_had_no_effect() -> None:
    device = make_device()

    inbound.handle(device_topic(device), message(command_id=str(uuid4()), outcome="done", strange={"kept": True}))

    row = InboundMessage.objects.get()
    assert (row.source_id, row.rejected) == (device.pk, "unknown-command")
    assert row.payload["strange"] == {"kept": True}


def test_unknown_fields_are_ignored() -> None:
    device, connection_id = make_device(connected=False), uuid4()

    inbound.handle(device_topic(device), birth(connection_id, colour="blue"))

    assert Presence.objects.get(device=device).connection_id == connection_id


def test_report_without_a_number_says_nothing_about_the_cart() -> None:
    device = make_device()

    inbound.handle(cart_topic(device, uuid4()), lock_report(seq=None))

    assert not OutboxMessage.objects.exists()


def test_failing_database_leaves_no_half_taken_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """It rises, so that the message is not acknowledged; when it comes again it is not a duplicate."""
    device = make_device()
    topic, payload, publish = cart_topic(device, uuid4()), lock_report(seq=5), inbound.outbox.publish

    def away(told: object) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(inbound.outbox, "publish", away)
    with pytest.raises(OperationalError):
        inbound.handle(topic, payload)
    monkeypatch.setattr(inbound.outbox, "publish", publish)
    inbound.handle(topic, payload)

    assert OutboxMessage.objects.filter(event="devices.LockReported").count() == 1
    assert connection.is_usable()


def test_message_that_hits_a_bug_is_kept_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    device = make_device()
    topic, payload = cart_topic(device, uuid4()), lock_report(seq=5)

    def with_a_bug(told: object) -> None:
        Presence.objects.update(state=PresenceState.DEGRADED)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(inbound.outbox, "publish", with_a_bug)
    inbound.handle(topic, payload)

    row = InboundMessage.objects.get()
    assert (row.rejected, row.payload) == ("failed", json.loads(payload))
    assert inbound.dropped == {"failed": 1}
    assert Presence.objects.get().state == PresenceState.ONLINE
