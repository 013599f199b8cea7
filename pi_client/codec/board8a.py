"""The "8A" boards (Guangzhou Shuoming and its kin): `HEAD BOARD LOCK FUNC BCC`, 9600 8N1, lockers 1 to 24.

BCC is the XOR of the earlier bytes. State of all locks is answered by seven bytes, `80 BOARD S S S 33 BCC`; sources
differ on whether the first or the last S holds lockers 1 to 8, so each order has its protocol name. There is no item
sensor. An unlock's answer may be byte for byte the request (an echo looks the same), so only the hook is believed. Door
changes (`82 ...`) may arrive unasked.
"""

from typing import ClassVar, Literal

from .board import BadLocker, LockBoard, Reading

UNLOCK_HEAD, STATE_HEAD, CHANGE_HEAD = 0x8A, 0x80, 0x82
UNLOCK, STATE = 0x11, 0x33


def checked(body: bytes) -> bytes:
    """`body` with its XOR behind it."""
    return body + bytes((_xor(body),))


def _xor(data: bytes | bytearray) -> int:
    result = 0
    for byte in data:
        result ^= byte
    return result


class Board8A(LockBoard):
    """Boards 1 to 32, set by DIP switch."""

    protocol = "8a"
    first_locker = 1
    lockers = 24
    reply_bytes = 7
    _order: ClassVar[Literal["little", "big"]] = "little"

    def unlock_request(self, locker: int) -> bytes:
        self._check_locker(locker)
        return checked(bytes((UNLOCK_HEAD, self.address, locker, UNLOCK)))

    def state_request(self) -> bytes:
        if not 1 <= self.address <= 32:
            raise BadLocker(f"no 8A board {self.address}")
        return checked(bytes((STATE_HEAD, self.address, 0, STATE)))

    def _frame_length(self, buffer: bytearray) -> int:
        if buffer[0] not in (UNLOCK_HEAD, STATE_HEAD, CHANGE_HEAD):
            return -1
        if buffer[0] == STATE_HEAD:
            # Seven bytes before five: the start of a long answer can pass for a whole short one, never the reverse.
            if len(buffer) < 7:
                return 0
            if buffer[5] == STATE and buffer[6] == _xor(buffer[:6]):
                return 7
        if len(buffer) < 5:
            return 0
        return 5 if buffer[4] == _xor(buffer[:4]) else -1

    def _reading(self, frame: bytes) -> Reading | None:
        if len(frame) != 7 or frame[1] != self.address:
            return None
        return self._make_reading(int.from_bytes(frame[2:5], self._order), None)


class Board8AReversed(Board8A):
    """The same with lockers 1 to 8 in the last state byte."""

    protocol = "8a-reversed"
    _order = "big"
