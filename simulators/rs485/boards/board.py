"""What every lock board is: an address, locks, an ear on the bus. Pure: no clock, no line, no faults."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from simulators.rs485.locks import Lock

MAX_HEARD_BYTES = 4096


@dataclass(frozen=True)
class Reaction:
    """What a board does about one frame addressed to it."""

    command: str
    lock: int | None = None  # the one lock the frame names
    unlocks: tuple[int, ...] = ()
    unlock_delay_s: float = 0.0
    # Renders the answer when it is sent, given the bit that means "hook closed".
    answer: Callable[[bool], bytes] | None = None
    answers_after_latch: bool = False
    effect: Callable[[], None] | None = None  # on the board's own settings
    new_baud: int | None = None


class Board(ABC):
    """A board on the bus.

    `closed_bit` is what the board sends for a closed hook (it depends on firmware and feedback wiring).
    """

    kind: ClassVar[str]
    addresses: ClassVar[range]
    numbers: ClassVar[range]
    options: ClassVar[frozenset[str]]

    def __init__(self, address: int, baud: int, options: Iterable[str] = ()) -> None:
        """Raises ValueError for an address or option this kind does not have."""
        chosen = frozenset(options)
        if address not in self.addresses:
            raise ValueError(f"{self.kind} has addresses {self.addresses[0]} to {self.addresses[-1]}, not {address}")
        if unknown := chosen - self.options:
            raise ValueError(f"{self.kind} has options {sorted(self.options)}, not {sorted(unknown)}")
        self.address = address
        self.factory_baud = baud
        self.chosen = chosen
        self.reset()

    def reset(self) -> None:
        """As delivered: every lock closed on its cart."""
        self.baud = self.factory_baud
        self.closed_bit = "flipped" not in self.chosen
        self.locks = {number: Lock(number) for number in self.numbers}
        self.counters: Counter[str] = Counter()
        self._heard = bytearray()

    def hear(self, data: bytes) -> Iterator[bytes]:
        """Every valid frame of this protocol so far, whoever it is for; resynchronises on the next header byte."""
        self._heard += data
        if len(self._heard) > MAX_HEARD_BYTES:
            del self._heard[:-MAX_HEARD_BYTES]
        while self._heard:
            length = self.measure(bytes(self._heard))
            if length is None:
                return
            if length == 0:
                self.counters["bytes_skipped"] += 1
                del self._heard[0]
                continue
            frame = bytes(self._heard[:length])
            del self._heard[:length]
            yield frame

    def forget_partial(self) -> None:
        """The line fell silent in mid-frame."""
        self.counters["bytes_skipped"] += len(self._heard)
        self._heard.clear()

    @abstractmethod
    def measure(self, heard: bytes) -> int | None:
        """Length of the valid frame that `heard` starts with; 0: none starts here; None: wait for more bytes."""

    @abstractmethod
    def react(self, frame: bytes) -> Reaction | None:
        """None: for somebody else, or nothing this board knows. Changes no lock and no setting."""

    @abstractmethod
    def readdress(self, answer: bytes) -> bytes:
        """The same answer, validly summed, from a neighbour's address."""

    def report_hook(self, lock: Lock) -> bytes | None:
        """What the board says unasked when a hook moves."""
        return None
