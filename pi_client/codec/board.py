"""What every lock board offers: frames to send, and readings out of whatever bytes the line brings."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from ..contract import LockState

# A line that only babbles must not grow memory; the longest frame of any board here is 9 bytes.
MAX_BUFFER = 256


class BadLocker(ValueError):
    """An address or locker number that the board's frames cannot carry."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer of a board: which hooks are closed and which sensors see an item, as bit maps by locker offset."""

    closed: int
    items: int | None
    first_locker: int
    lockers: int

    def lock(self, locker: int) -> LockState:
        return LockState.LOCKED if self._bit(self.closed, locker) else LockState.UNLOCKED

    def present(self, locker: int) -> bool | None:
        """None when the board has no such sensor."""
        return None if self.items is None else self._bit(self.items, locker)

    def _bit(self, bits: int, locker: int) -> bool:
        offset = locker - self.first_locker
        if not 0 <= offset < self.lockers:
            raise BadLocker(f"no locker {locker}")
        return bool(bits >> offset & 1)


class LockBoard(ABC):
    """A board at an address; `feed` is incremental and resynchronises after garbage, echoes and foreign frames.

    `hook_closed_bit` is the value (0 or 1) that the hook's bit has while the latch is closed: it depends on the wiring.
    `rejected` counts bytes that belonged to no valid frame.
    """

    protocol: ClassVar[str]
    first_locker: ClassVar[int]
    lockers: ClassVar[int]
    reply_bytes: ClassVar[int]

    def __init__(self, address: int, hook_closed_bit: int = 1) -> None:
        self.address = address
        self.hook_closed_bit = hook_closed_bit
        self.rejected = 0
        self._buffer = bytearray()
        self.state_request()  # raises BadLocker for an address the frame can't carry

    @abstractmethod
    def unlock_request(self, locker: int) -> bytes:
        """One unlock pulse; BadLocker outside the board."""

    @abstractmethod
    def state_request(self) -> bytes:
        """Ask for every hook of the board."""

    @abstractmethod
    def _frame_length(self, buffer: bytearray) -> int:
        """Length of the frame that `buffer` starts with, 0 when more bytes are needed to tell, -1 when it is none."""

    @abstractmethod
    def _reading(self, frame: bytes) -> Reading | None:
        """The reading in a valid frame, None when it is not this board's state answer."""

    def reset(self) -> None:
        """Forget what is half received; called before each request."""
        self.rejected += len(self._buffer)
        self._buffer.clear()

    def feed(self, data: bytes) -> Reading | None:
        """The newest reading completed by `data`, if any."""
        newest = None
        self._buffer += data
        while self._buffer:
            length = self._frame_length(self._buffer)
            if length == 0 and len(self._buffer) <= MAX_BUFFER:
                break
            if length <= 0:
                del self._buffer[0]
                self.rejected += 1
                continue
            newest = self._reading(bytes(self._buffer[:length])) or newest
            del self._buffer[:length]
        return newest

    def _make_reading(self, hooks: int, items: int | None) -> Reading:
        closed = hooks if self.hook_closed_bit else ~hooks & ((1 << self.lockers) - 1)
        return Reading(closed, items, self.first_locker, self.lockers)

    def _check_locker(self, locker: int) -> None:
        if not self.first_locker <= locker < self.first_locker + self.lockers:
            raise BadLocker(f"{self.protocol} has no locker {locker}")
