"""The decision about each command and nothing else: no sockets, no serial line; clock and journal are handed in."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from .contract import Command, Reason
from .ports import Entry, Journal

MAX_FIRED = 4096


@dataclass(frozen=True, slots=True)
class Accepted:
    """Journalled: fire once. `seq` numbers the answer's observation."""

    seq: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """Answer with this reason; nothing was journalled."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Repeated:
    """Seen before; its answer, if there is one yet, is said again."""

    entry: Entry


Decision = Accepted | Refused | Repeated


class Session:
    """Commands of one MQTT connection at a time. Thread-safe: cancels come from another thread than unlocks."""

    def __init__(self, journal: Journal, server_now: Callable[[], datetime | None]) -> None:
        self._journal = journal
        self._server_now = server_now
        self._lock = threading.Lock()
        self._connection_id: UUID | None = None
        self._fired: dict[UUID, None] = {}

    @property
    def connection_id(self) -> UUID | None:
        return self._connection_id

    def open(self, connection_id: UUID) -> None:
        """Commands for `connection_id`, and for no other, count from now on."""
        self._connection_id = connection_id

    def close(self) -> None:
        self._connection_id = None

    def receive(
        self,
        command: Command,
        *,
        retained: bool,
        target_id: UUID,
        topic: str,
        numbered: bool,
        misplaced: bool = False,
        occupied: bool = False,
        late: bool = False,
    ) -> Decision:
        """Accept (journalled, on disk), refuse or repeat.

        `misplaced` commands came on a topic of another kind, `occupied` ones find their lock with another command under
        way, `late` ones came by heartbeat and know no connection. Raises StoreError when the journal cannot be read or
        written: then nothing may fire.
        """
        if retained:
            return Refused(Reason.RETAINED)
        earlier = self._journal.find(command.command_id)
        if earlier is not None:
            return Repeated(earlier)
        reason = self._objection(command, late=late)
        if reason is None and misplaced:
            reason = Reason.UNSUPPORTED
        if reason is None and occupied:
            reason = Reason.BUSY
        if reason is not None:
            return Refused(reason)
        seq = self._journal.accept(command.command_id, target_id=target_id, topic=topic, numbered=numbered)
        return Accepted(seq)

    def clear_to_fire(self, command: Command, *, late: bool = False) -> Reason | None:
        """The last word before the bytes go out: None means fire now, and that a cancel now comes too late."""
        with self._lock:
            reason = self._objection(command, late=late)
            if reason is None:
                self._fired[command.command_id] = None
                if len(self._fired) > MAX_FIRED:
                    del self._fired[next(iter(self._fired))]
            return reason

    def cancel(self, command_id: UUID) -> bool:
        """Stop a command that has not fired, also one that has not come yet; False when it is too late."""
        with self._lock:
            if command_id in self._fired:
                return False
            earlier = self._journal.find(command_id)
            if earlier is not None and earlier.outcome is not None:
                return False
            self._journal.cancel(command_id)
            return True

    def _objection(self, command: Command, *, late: bool) -> Reason | None:
        if not late and (self._connection_id is None or command.connection_id != self._connection_id):
            return Reason.WRONG_CONNECTION
        now = self._server_now()
        if now is None:
            return Reason.CLOCK_UNKNOWN
        if now >= command.expires_at:
            return Reason.EXPIRED
        if self._journal.is_cancelled(command.command_id):
            return Reason.CANCELLED
        return None
