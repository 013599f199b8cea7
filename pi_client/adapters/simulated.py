"""Lock boards in memory behind the same port as a real line: used by the tests and by `--simulate`."""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..codec import board8a, cu16
from ..ports import Clock


@dataclass
class SimulatedBoard:
    """A CU16 board that obeys at once. `open_lockers` and `items` are its world; tests and `--simulate` change them.

    `dead` boards say nothing, `stuck` hooks ignore the pulse, `hook_closed_bit` is how the hooks are wired;
    `relatch_after_s` closes an opened latch again by itself, as if the cart had been brought back.
    """

    address: int = 0
    hook_closed_bit: int = 1
    dead: bool = False
    stuck: bool = False
    relatch_after_s: float | None = None
    open_lockers: set[int] = field(default_factory=set)
    items: set[int] = field(default_factory=lambda: set(range(16)))
    pulses: list[int] = field(default_factory=list)
    _opened_at: dict[int, float] = field(default_factory=dict)

    def handle(self, request: bytes, now: float) -> bytes:
        """The board's answer to the bytes of one write, empty when it keeps quiet."""
        if self.dead or len(request) != 5 or request != cu16.frame(request[1], request[2]):
            return b""
        if request[1] >> 4 != self.address:
            return b""
        if request[2] == cu16.UNLOCK:
            self._pulse(request[1] & 0x0F, now)
            return b""
        return self._state(now) if request[2] == cu16.GET_STATE else b""

    def _pulse(self, locker: int, now: float) -> None:
        self.pulses.append(locker)
        if not self.stuck:
            self.open_lockers.add(locker)
            self._opened_at[locker] = now

    def _state(self, now: float) -> bytes:
        if self.relatch_after_s is not None:
            back = {one for one, opened in self._opened_at.items() if now - opened >= self.relatch_after_s}
            self.open_lockers -= back
            self._opened_at = {one: at for one, at in self._opened_at.items() if one not in back}
        opened = sum(1 << locker for locker in self.open_lockers)
        hooks = ~opened & 0xFFFF if self.hook_closed_bit else opened
        items = sum(1 << locker for locker in self.items)
        data = hooks.to_bytes(2, "little") + items.to_bytes(2, "little")
        return cu16.frame(self.address << 4, cu16.STATE, data)


@dataclass
class Simulated8A(SimulatedBoard):
    """An 8A board, lockers 1 to 24; an unlock is answered by an echo of the request, as some firmware does."""

    address: int = 1

    def handle(self, request: bytes, now: float) -> bytes:
        if self.dead or len(request) != 5 or request != board8a.checked(request[:4]) or request[1] != self.address:
            return b""
        if request[0] == board8a.UNLOCK_HEAD:
            self._pulse(request[2], now)
            return request
        if self.relatch_after_s is not None:
            self._state(now)
        opened = sum(1 << locker - 1 for locker in self.open_lockers)
        hooks = ~opened & 0xFFFFFF if self.hook_closed_bit else opened
        return board8a.checked(bytes((board8a.STATE_HEAD, self.address)) + hooks.to_bytes(3, "little") + b"\x33")


class SimulatedLine:
    """Implements ports.SerialLine: every board hears every request."""

    def __init__(self, boards: Iterable[SimulatedBoard], clock: Clock) -> None:
        self._boards = tuple(boards)
        self._clock = clock
        self._answers: deque[bytes] = deque()
        self._silence = threading.Event()

    def write(self, data: bytes) -> None:
        for board in self._boards:
            answer = board.handle(data, self._clock.monotonic())
            if answer:
                self._answers.append(answer)

    def read(self, timeout_s: float) -> bytes:
        if not self._answers:
            self._silence.wait(timeout_s)
            return b""
        return self._answers.popleft()

    def discard(self) -> None:
        self._answers.clear()

    def close(self) -> None:
        self._answers.clear()
