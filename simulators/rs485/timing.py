"""How long things take on the bus, and what is due when."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

BITS_PER_BYTE = 10  # start, 8 data, stop


@dataclass(frozen=True)
class Timing:
    """Seconds. `paced` False: the wire takes no time."""

    paced: bool
    board_delay_s: float  # from the end of a command to the start of its answer
    latch_s: float  # from the coil's pulse to the open hook
    stagger_s: float  # between the coils of one command for several locks

    def wire_s(self, length: int, baud: int) -> float:
        return length * BITS_PER_BYTE / baud if self.paced and baud else 0.0


MODES = {
    "real": Timing(paced=True, board_delay_s=0.002, latch_s=0.008, stagger_s=0.1),
    "zero": Timing(paced=False, board_delay_s=0.0, latch_s=0.0, stagger_s=0.0),
}


class Schedule:
    """Calls by monotonic time; those of one instant in the order they were asked for."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._asked = 0

    def at(self, when: float, call: Callable[[], None]) -> None:
        self._asked += 1
        heapq.heappush(self._due, (when, self._asked, call))

    def run_due(self, now: float) -> bool:
        """Never early. True when something ran."""
        ran = False
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()
            ran = True
        return ran

    def next_at(self) -> float | None:
        return self._due[0][0] if self._due else None

    def clear(self) -> None:
        self._due.clear()
