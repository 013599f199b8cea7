"""What happened on the bus: numbered events, numbered firings, the last frames; all bounded."""

import logging
import time
from collections import deque
from datetime import UTC, datetime

log = logging.getLogger("simulators.rs485")

MAX_EVENTS = 10_000
MAX_FRAMES = 100


class Journal:
    """Event and firing numbers only rise, also over a reset, so that nobody counts one firing as two or two as one."""

    def __init__(self) -> None:
        self._events: deque[dict[str, object]] = deque(maxlen=MAX_EVENTS)
        self._frames: deque[tuple[float, str, bytes]] = deque(maxlen=MAX_FRAMES)
        self._last = 0
        self.firings = 0

    def add(self, event: str, line: str, **facts: object) -> None:
        """`line` is for people."""
        self._last += 1
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._events.append({"n": self._last, "at": now, "monotonic": time.monotonic(), "event": event, **facts})
        log.info(line)

    def add_frame(self, at: float, speaker: str, data: bytes) -> None:
        self._frames.append((at, speaker, data))

    def next_firing(self) -> int:
        self.firings += 1
        return self.firings

    def since(self, number: int) -> list[dict[str, object]]:
        """Events after that number, oldest first."""
        return [event for event in self._events if isinstance(event["n"], int) and event["n"] > number]

    def frames(self) -> list[dict[str, object]]:
        return [{"monotonic": at, "from": speaker, "hex": data.hex(" ")} for at, speaker, data in self._frames]
