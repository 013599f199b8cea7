"""Virtual time, chance and memory of one chapter. Nothing waits: time jumps to the next event."""

import heapq
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from uuid import UUID

from .faults import RATES, Fault

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
STORY_LENGTH = 20_000


class Killed(BaseException):
    """The process stops here: nothing of its own runs any more, not even error handling."""


class World:
    """One seeded run of events, one at a time. `now` is the server's true time in seconds since EPOCH."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.calm = False
        self.stopped = False
        self.struck: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self._turn = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._story: deque[tuple[float, tuple[UUID | None, ...], str]] = deque(maxlen=STORY_LENGTH)

    def date(self) -> datetime:
        """The server's true date."""
        return EPOCH + timedelta(seconds=self.now)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._turn), action))

    def every(self, seconds: float, action: Callable[[], None]) -> None:
        def again() -> None:
            self.after(seconds, again)
            action()

        self.after(self.random.uniform(0, seconds), again)

    def run(self, until: float) -> None:
        """Carry out what is due up to `until`, or until `stopped`."""
        while not self.stopped and self._events and self._events[0][0] <= until:
            when, _, action = heapq.heappop(self._events)
            # Whoever is late because another took its time is late by that much.
            self.now = max(self.now, when)
            action()
        self.now = max(self.now, until)

    def pass_time(self, seconds: float) -> None:
        """Somebody blocks that long; everybody else stands still meanwhile."""
        self.now += seconds

    def strikes(self, fault: Fault, rate: float | None = None) -> bool:
        """Whether `fault` happens now; counted when it does. Never once the world is calm."""
        if self.calm or self.random.random() >= (RATES[fault] if rate is None else rate):
            return False
        self.struck[fault] += 1
        return True

    def between(self, low: float, high: float) -> float:
        return self.random.uniform(low, high)

    def note(self, text: str, *about: UUID | None) -> None:
        """Remember for the trace; `about` are commands, carts and devices."""
        self._story.append((self.now, about, text))

    def story_of(self, *about: UUID, last: int = 80) -> list[str]:
        """The latest events about these and about nothing else beside one of them, oldest first."""
        wanted = set(about)
        main = set(about[:2])
        lines = [
            f"{when:12.4f}  {text}"
            for when, ids, text in self._story
            if main.intersection(ids) or (wanted.intersection(ids) and len(ids) == 1)
        ]
        return lines[-last:]
