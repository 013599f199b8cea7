"""The wire between cloud and Pi, shared by both sides; published as `docs/protocol/asyncapi.yaml`."""

from .codec import decode, decode_device_status, encode
from .enums import CommandType, LockState, Outcome, PresenceState, Reason
from .errors import ContractError
from .messages import (
    MAX_EVENTS,
    MAX_PAYLOAD_BYTES,
    VERSION,
    Command,
    Message,
    Presence,
    Result,
    Telemetry,
    TelemetryEvent,
)
from .schemas import message_schemas
from .topics import Topic, cart_topic, device_topic, parse_topic

__all__ = [
    "MAX_EVENTS",
    "MAX_PAYLOAD_BYTES",
    "VERSION",
    "Command",
    "CommandType",
    "ContractError",
    "LockState",
    "Message",
    "Outcome",
    "Presence",
    "PresenceState",
    "Reason",
    "Result",
    "Telemetry",
    "TelemetryEvent",
    "Topic",
    "cart_topic",
    "decode",
    "decode_device_status",
    "device_topic",
    "encode",
    "message_schemas",
    "parse_topic",
]
