"""What a Pi says, as bytes on the wire: written from the published contract, not with the product's own codec."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from devices.models import Command, Device
from devices.mqtt import inbound


def wire_time(at: datetime | None = None) -> str:
    """RFC 3339 UTC with milliseconds; now unless given."""
    return (at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def message(**fields: Any) -> bytes:
    """A message with its envelope; any field of it can be overridden."""
    envelope = {"v": 1, "message_id": str(uuid4()), "sent_at": wire_time()}
    return json.dumps(envelope | fields, default=str).encode()


def birth(connection_id: UUID, **fields: Any) -> bytes:
    made_up = {"state": "online", "connection_id": connection_id, "boot_id": uuid4(), "firmware_version": "2.0.0"}
    return message(**{**made_up, **fields})


def will(connection_id: UUID, **fields: Any) -> bytes:
    return birth(connection_id, **{"state": "offline", **fields})


def answer(command: Command, outcome: str = "done", **fields: Any) -> bytes:
    """A result. A `done` of an unlock saw the hook open; its `seq` is high unless given."""
    seen = {"lock": "unlocked", "present": True, "seq": 1000} if outcome == "done" and command.type == "unlock" else {}
    return message(**{"command_id": command.pk, "outcome": outcome, **seen, **fields})


def lock_report(*, lock: str = "locked", present: bool | None = True, seq: int | None, **fields: Any) -> bytes:
    """A change of a cart's state that nobody asked for."""
    return message(command_id=None, lock=lock, present=present, seq=seq, **fields)


def event(**fields: Any) -> dict[str, Any]:
    made_up = {"event_id": str(uuid4()), "event_type": "cart_sensor", "timestamp": wire_time(), "event_data": {"n": 1}}
    return {**made_up, **fields}


def telemetry(*events: dict[str, Any], **fields: Any) -> bytes:
    return message(events=list(events), **fields)


def device_topic(device: Device, leaf: str = "status") -> str:
    branch = device.branch
    return f"cartwise/{branch.chain.slug}/{branch.code}/devices/{device.pk}/{leaf}"


def cart_topic(device: Device, cart_id: UUID | None, leaf: str = "status") -> str:
    """A topic of a cart that hangs on this device."""
    branch = device.branch
    return f"cartwise/{branch.chain.slug}/{branch.code}/carts/{cart_id}/{leaf}"


def answer_topic(command: Command) -> str:
    """Where the device answers this command."""
    return f"{command.topic.rpartition('/')[0]}/status"


def deliver_answer(command: Command, outcome: str = "done", **fields: Any) -> None:
    """The bridge takes an answer that came on the right topic; afterwards `command` is as its row."""
    inbound.handle(answer_topic(command), answer(command, outcome, **fields))
    command.refresh_from_db()
