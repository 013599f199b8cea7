"""The "8A" board (Guangzhou Shuoming and many relabels): 24 locks, frames with a BCC, the XOR of all bytes before it.

`HEAD BOARD LOCK FUNC BCC`. A lock's state byte is 0x11 for closed and 0x00 for open, and an unlock is answered with the
state after the pulse, so a failed unlock is answered by its own bytes. Both depend on the feedback wiring (option
`flipped`). The state of all locks comes as three bytes, locks 1 to 8 first (option `reversed`: last).
Option `reports`: hooks that move are told unasked (head 0x82).
The board has no sensor for the cart itself.
"""

from enum import IntEnum
from functools import reduce
from operator import xor

from simulators.rs485.boards.board import Board, Reaction
from simulators.rs485.locks import Lock


class Head(IntEnum):
    UNLOCK = 0x8A
    STATUS = 0x80
    BATCH = 0x90
    HOLD = 0x9A
    LET_GO = 0x9B
    REPORT = 0x82


class Function(IntEnum):
    FIRE = 0x11
    TELL = 0x33
    VERSION = 0x22


CLOSED, OPEN = 0x11, 0x00
MAX_PULSE_S = 9
FIRMWARE_VERSION = 1

LENGTHS: dict[int, tuple[int, ...]] = {
    Head.UNLOCK: (5, 6),  # 6: with the seconds of the pulse
    Head.STATUS: (5,),
    Head.BATCH: (6,),
    Head.HOLD: (5,),
    Head.LET_GO: (5,),
    Head.REPORT: (5,),
}


def seal(*body: int) -> bytes:
    return bytes((*body, reduce(xor, body)))


class Oem8A(Board):
    kind = "8a"
    addresses = range(1, 33)
    numbers = range(1, 25)
    options = frozenset({"flipped", "reversed", "reports"})

    def measure(self, heard: bytes) -> int | None:
        for length in LENGTHS.get(heard[0], ()):
            if len(heard) < length:
                return None
            if reduce(xor, heard[:length]) == 0:
                return length
        return 0

    def react(self, frame: bytes) -> Reaction | None:
        head, board, lock, function = frame[:4]
        if board != self.address:
            return None
        if head == Head.BATCH:
            chosen = int.from_bytes(frame[2:5], "little")
            return Reaction("unlock_batch", unlocks=tuple(n for n in self.numbers if chosen >> (n - 1) & 1))
        if head == Head.REPORT and function == Function.VERSION:
            return Reaction(
                "version", answer=lambda _: seal(Head.REPORT, self.address, FIRMWARE_VERSION, Function.VERSION)
            )
        if lock and lock not in self.locks:
            self.counters["refused"] += 1
            return None
        named = lock or None
        numbers = (lock,) if lock else tuple(self.numbers)
        match head, function:
            case Head.UNLOCK, Function.FIRE if len(frame) == 5 or 1 <= frame[4] <= MAX_PULSE_S:
                return Reaction(
                    "unlock",
                    named,
                    numbers,
                    answer=lambda c: self._told(Head.UNLOCK, lock, c),
                    answers_after_latch=True,
                )
            case Head.STATUS, Function.TELL if lock:
                return Reaction("get_state", named, answer=lambda c: self._told(Head.STATUS, lock, c))
            case Head.STATUS, Function.TELL:
                return Reaction("get_state", answer=self._state)
            case Head.HOLD, Function.FIRE:
                return self._power(Head.HOLD, lock, numbers, held=True)
            case Head.LET_GO, Function.FIRE:
                return self._power(Head.LET_GO, lock, numbers, held=False)
        self.counters["refused"] += 1
        return None

    def readdress(self, answer: bytes) -> bytes:
        return seal(answer[0], answer[1] % self.addresses[-1] + 1, *answer[2:-1])

    def report_hook(self, lock: Lock) -> bytes | None:
        if "reports" not in self.chosen:
            return None
        return self._told(Head.REPORT, lock.number, self.closed_bit)

    def _power(self, head: Head, lock: int, numbers: tuple[int, ...], *, held: bool) -> Reaction:
        """The coil put under lasting power, which opens the hook, or released."""

        def switch() -> None:
            for number in numbers:
                self.locks[number].held = held

        return Reaction(
            head.name.lower(),
            lock=lock or None,
            unlocks=numbers if held else (),
            answer=lambda closed: self._told(head, lock, closed),
            answers_after_latch=held,
            effect=switch,
        )

    def _told(self, head: int, number: int, closed_bit: bool) -> bytes:
        """State of one lock; of lock 0, closed when any is."""
        asked = [self.locks[number]] if number else self.locks.values()
        closed = any(lock.reads_closed for lock in asked)
        return seal(head, self.address, number, CLOSED if closed is closed_bit else OPEN)

    def _state(self, closed_bit: bool) -> bytes:
        hooks = sum((lock.reads_closed is closed_bit) << (number - 1) for number, lock in self.locks.items())
        order = hooks.to_bytes(3, "big" if "reversed" in self.chosen else "little")
        return seal(Head.STATUS, self.address, *order, Function.TELL)
