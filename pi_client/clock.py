"""The server's clock as this device knows it. No sample, a stale one or a jump: unknown, and then nothing opens."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from .ports import Clock

STALE_AFTER_S = 600.0
MAX_ROUND_TRIP_S = 5.0
MAX_JUMP_S = 2.0
# A step back up to this far is a better sample, not a clock that was put back; the cloud draws the line there too.
HELD_BACK = timedelta(minutes=1)


class ServerClock:
    """Learns from `server_time` in each answer; safe to use from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sample: tuple[datetime, float, datetime] | None = None
        self._stamped: datetime | None = None

    def learn(self, server_time: datetime, *, sent: float, received: float) -> bool:
        """Take `server_time` as read at the monotonic time `sent`, the earliest it can have been (seconds).

        So this clock is never behind the server's, however unevenly the round trip was slow: nothing opens late.
        False when the round trip was too long to be believed; an earlier sample then stays.
        """
        if not 0 <= received - sent <= MAX_ROUND_TRIP_S:
            return False
        with self._lock:
            wall = self._clock.wall() - timedelta(seconds=self._clock.monotonic() - sent)
            self._sample = (server_time, sent, wall)
        return True

    def ask(self, question: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The cloud's answer to `question`; its `server_time`, if it has one, is learned."""
        sent = self._clock.monotonic()
        answer = question()
        received = self._clock.monotonic()
        try:
            moment = datetime.fromisoformat(str(answer.get("server_time")))
        except ValueError:
            return answer
        if moment.tzinfo is not None:
            self.learn(moment.astimezone(UTC), sent=sent, received=received)
        return answer

    def now(self) -> datetime | None:
        """The server's time, None when unknown.

        It runs on the monotonic clock. The system clock is only compared with it: when the two part, one of them was
        stopped (suspend) or set (NTP at start), and the next sample decides.
        """
        with self._lock:
            if self._sample is None:
                return None
            server_time, since, wall = self._sample
            elapsed = self._clock.monotonic() - since
            jump = (self._clock.wall() - wall).total_seconds() - elapsed
            if elapsed > STALE_AFTER_S or abs(jump) > MAX_JUMP_S:
                self._sample = None
                return None
            return server_time + timedelta(seconds=elapsed)

    def stamp(self) -> datetime:
        """The best time for a message: the server's when known, else the system's.

        Each later than the one before, though a better sample sets the clock back a little: the cloud keeps a device's
        words in this order.
        """
        best = self.now() or self._clock.wall().astimezone(UTC)
        with self._lock:
            if self._stamped is not None and self._stamped - HELD_BACK <= best <= self._stamped:
                best = self._stamped + timedelta(milliseconds=1)
            self._stamped = best
        return best
