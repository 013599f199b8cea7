"""The messages of the wire as dataclasses; the JSON Schemas and the codec are derived from these annotations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from .enums import CommandType, LockState, Outcome, PresenceState, Reason

VERSION = 1
MAX_PAYLOAD_BYTES = 128 * 1024
MAX_EVENTS = 500
# Above this a double no longer tells neighbouring integers apart, so other JSON readers would see another number.
MAX_INTEGER = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Bounds:
    """Inclusive limits of a number."""

    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Length:
    """Inclusive limits of a string's, list's or mapping's length."""

    minimum: int
    maximum: int


Version = Annotated[int, Bounds(VERSION, VERSION)]
Sequence = Annotated[int, Bounds(0, MAX_INTEGER)]
Milliseconds = Annotated[float, Bounds(0, 1e9)]
Name = Annotated[str, Length(1, 64)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Birth (`online`, first on each connection) or last will (`offline`) of the connection `connection_id`."""

    v: Version = VERSION
    message_id: UUID
    sent_at: datetime
    state: PresenceState
    connection_id: UUID
    boot_id: UUID
    firmware_version: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One order, good on one connection until `expires_at` on the server's clock, fired at most once per id."""

    v: Version = VERSION
    message_id: UUID
    sent_at: datetime
    command_id: UUID
    type: CommandType
    connection_id: UUID
    issued_at: datetime
    expires_at: datetime
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The answer to a command, or an unprompted state change of a cart (`command_id` null).

    `lock` and `present` are an observation only when `seq` is given; without it they say nothing about the cart.
    """

    v: Version = VERSION
    message_id: UUID
    sent_at: datetime
    command_id: UUID | None
    outcome: Outcome | None = None
    reason: Reason | None = None
    lock: LockState = LockState.UNKNOWN
    present: bool | None = None
    seq: Sequence | None = None
    timing_ms: Annotated[Mapping[Name, Milliseconds], Length(0, 32)] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryEvent:
    """One thing that happened on the device, told once per `event_id`."""

    event_id: UUID
    event_type: Name
    timestamp: datetime
    event_data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """A batch of events."""

    v: Version = VERSION
    message_id: UUID
    sent_at: datetime
    events: Annotated[tuple[TelemetryEvent, ...], Length(0, MAX_EVENTS)]


Message = Presence | Command | Result | Telemetry
