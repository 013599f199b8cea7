"""Messages from devices: check, store raw once, call one service. Whatever is malformed is counted and dropped."""

import json
import logging
from collections import Counter
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from core import outbox
from devices import services
from devices.events import LockReported
from devices.models import Device, InboundMessage
from devices.services.telemetry import Event
from pi_client.contract import (
    ContractError,
    Message,
    Presence,
    PresenceState,
    Result,
    Telemetry,
    Topic,
    decode,
    decode_device_status,
    parse_topic,
)

logger = logging.getLogger(__name__)

# What was dropped since the process started, by reason; the bridge's pulse shows it.
dropped: Counter[str] = Counter()


def handle(topic: str, payload: bytes) -> None:
    """Take one message. Never raises for what the message holds; a database that is away does, so that it is not lost.

    One that hits a bug is kept as it came, with `failed` beside it.
    """
    try:
        where = parse_topic(topic)
        message = _decode(where, payload)
    except ContractError as error:
        dropped["malformed"] += 1
        logger.info("message dropped", extra={"topic": topic[:200], "error": str(error)[:200]})
        return
    raw = json.loads(payload)
    try:
        _take(where, topic, message, raw)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        # A bug of ours. The broker would tell it again for ever, so it is kept here for a person instead.
        logger.exception("a message could not be handled", extra={"topic": topic})
        dropped["failed"] += 1
        _store_raw(where, topic, message.message_id, raw, rejected="failed")


def _take(where: Topic, topic: str, message: Message, raw: object) -> None:
    with transaction.atomic():
        if not _store_raw(where, topic, message.message_id, raw):
            dropped["duplicate"] += 1
            return
        rejected = _act(where, message)
        if rejected:
            dropped[rejected] += 1
            InboundMessage.objects.filter(source_id=where.id, message_id=message.message_id).update(rejected=rejected)


def _decode(where: Topic, payload: bytes) -> Message:
    if where.kind == "carts":
        return decode(Result, payload)
    return decode(Telemetry, payload) if where.leaf == "telemetry" else decode_device_status(payload)


def _store_raw(where: Topic, topic: str, message_id: UUID, raw: object, rejected: str = "") -> bool:
    """False when a message with this id came before: the unique index decides, also between two bridges."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO devices_inboundmessage (source_id, message_id, topic, payload, received_at, rejected)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [where.id, message_id, topic, json.dumps(raw), timezone.now(), rejected],
        )
        return bool(cursor.rowcount == 1)


def _act(where: Topic, message: Message) -> str:
    """Call the service; answers "" or why the message had no effect."""
    if isinstance(message, Telemetry):
        return _telemetry(where, message)
    if isinstance(message, Presence):
        return _presence(where, message)
    if not isinstance(message, Result):
        return "unexpected"
    if message.command_id is None:
        if where.kind == "carts" and message.seq is not None:
            outbox.publish(
                LockReported(where.id, message.lock, message.present, message.seq, message.sent_at.isoformat())
            )
        return ""
    if message.outcome is None:
        return "no-outcome"
    on_cart = where.kind == "carts"
    return services.record_result(
        command_id=message.command_id,
        target_id=where.id if on_cart else None,
        device_id=None if on_cart else where.id,
        outcome=message.outcome,
        reason=message.reason or "",
        lock=message.lock,
        present=message.present,
        seq=message.seq,
        timing_ms=message.timing_ms,
        sent_at=message.sent_at,
    )


def _presence(where: Topic, message: Presence) -> str:
    if message.state == PresenceState.ONLINE:
        taken = services.record_birth(
            device_id=where.id,
            connection_id=message.connection_id,
            boot_id=message.boot_id,
            firmware_version=message.firmware_version[:20],
            sent_at=message.sent_at,
        )
        return "" if taken else "birth-not-taken"
    return "" if services.record_will(device_id=where.id, connection_id=message.connection_id) else "late-will"


def _telemetry(where: Topic, message: Telemetry) -> str:
    device = Device.objects.filter(pk=where.id).first()
    if device is None:
        return "unknown-device"
    services.store_telemetry(
        device=device,
        events=[Event(e.event_id, e.event_type, e.timestamp, e.event_data) for e in message.events],
    )
    return ""
