"""What the daemon needs from the outside; `adapters` has each twice, for real and for tests."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from .contract import Outcome

# Lanes of the outbox: answers and states never wait behind telemetry.
ANSWERS, TELEMETRY = 0, 1


class Clock(Protocol):
    """Seconds that only go forward, and the system's idea of the date."""

    def monotonic(self) -> float: ...
    def wall(self) -> datetime: ...


class LineError(OSError):
    """The serial port is gone or refuses; close it and open it again."""


class SerialLine(Protocol):
    """A half-duplex line, used by one thread only. All methods raise LineError."""

    def write(self, data: bytes) -> None: ...
    def read(self, timeout_s: float) -> bytes:
        """Whatever has arrived, waiting for the first byte at most `timeout_s`; empty on time-out."""
        ...

    def discard(self) -> None:
        """Drop what has arrived unread."""
        ...

    def close(self) -> None: ...


class StoreError(Exception):
    """The database cannot keep a promise now (full, read-only, broken)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A command in the journal; `payload` is the answer once there is one."""

    command_id: UUID
    target_id: UUID
    topic: str
    seq: int | None
    outcome: Outcome | None
    payload: bytes | None


class Journal(Protocol):
    """Remembers commands across power cuts. All methods raise StoreError."""

    def find(self, command_id: UUID) -> Entry | None: ...
    def accept(self, command_id: UUID, *, target_id: UUID, topic: str, numbered: bool) -> int | None:
        """On disk when it returns: the command is ours to fire once. The answer's `seq` if `numbered`."""
        ...

    def finish(self, command_id: UUID, *, outcome: Outcome, topic: str, payload: bytes, copies: int = 1) -> None:
        """Record the answer (of an accepted or of a refused command) and put it into the outbox, in one commit."""
        ...

    def cancel(self, command_id: UUID) -> None: ...
    def is_cancelled(self, command_id: UUID) -> bool: ...
    def unfinished(self) -> list[Entry]: ...


@dataclass(frozen=True, slots=True)
class Parcel:
    """A stored message waiting for the broker's PUBACK."""

    id: int
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class State:
    """A cart's state to be told; `build` makes the message out of the cart's next `seq`."""

    cart_id: UUID
    topic: str
    build: Callable[[int], bytes]


class Outbox(Protocol):
    """Messages that survive power cuts, oldest first in each lane. All methods raise StoreError."""

    def put_answer(self, topic: str, payload: bytes) -> None: ...
    def put_states(self, states: Sequence[State]) -> None:
        """Number and store each, all on disk when it returns."""
        ...

    def put_event(self, event: bytes) -> None: ...
    def batch_events(self, limit: int, max_bytes: int, topic: str, build: Callable[[Sequence[bytes]], bytes]) -> int:
        """Turn up to `limit` of the oldest events, together at most `max_bytes`, into one message; how many it took."""
        ...

    def pending(self, lane: int, *, after: int, limit: int) -> list[Parcel]: ...
    def remove(self, ids: Iterable[int]) -> None: ...
    def depth(self) -> int: ...


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Where and as whom to connect."""

    broker: str
    port: int
    tls: bool
    client_id: str
    username: str
    topic: str


class BrokerUnreachable(Exception):
    """No connection now; try again later."""


class CredentialsRefused(Exception):
    """The broker, or the cloud, does not know this token."""


class BrokerListener(Protocol):
    """Called from the network thread; implementations only enqueue."""

    def on_message(self, topic: str, payload: bytes, retained: bool) -> None: ...
    def on_published(self, message: int) -> None: ...
    def on_lost(self, why: str) -> None: ...


class BrokerConnection(Protocol):
    """One MQTT connection, from CONNACK to its loss."""

    def publish(self, topic: str, payload: bytes) -> int | None:
        """QoS 1; the number that `on_published` will name, or None when the connection is gone."""
        ...

    def subscribe(self, filters: Sequence[str]) -> list[str]:
        """QoS 1; returns the filters the broker denied. Raises BrokerUnreachable."""
        ...

    def unsubscribe(self, filters: Sequence[str]) -> None: ...
    def close(self) -> None: ...


class Broker(Protocol):
    def connect(
        self, settings: MqttSettings, *, password: str, will: tuple[str, bytes], listener: BrokerListener
    ) -> BrokerConnection:
        """Blocks until CONNACK. Raises BrokerUnreachable or CredentialsRefused."""
        ...


class CloudUnreachable(Exception):
    """No usable answer; `retry_after_s` when the cloud named a time."""

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class EnrolmentRefused(Exception):
    """The code, the branch or the MAC was not accepted; the cloud never says which."""


class Cloud(Protocol):
    """The REST side. All methods raise CloudUnreachable and, with a token, CredentialsRefused."""

    def register(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer's JSON; `status: pending` while staff have not approved. Raises EnrolmentRefused."""
        ...

    def heartbeat(self, device_id: UUID, token: str, body: dict[str, Any]) -> dict[str, Any]: ...
    def config(self, device_id: UUID, token: str) -> dict[str, Any]: ...
    def rotate(self, device_id: UUID, token: str) -> dict[str, Any]: ...
