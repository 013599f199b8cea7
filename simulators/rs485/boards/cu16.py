"""KERONG CU16: 16 locks with hook and infrared bits; `STX ADDR CMD [DATA] ETX SUM`, SUM an 8-bit sum of all before it.

ADDR is `board << 4 | lock`. An unlock has no answer (option `ack`: the state, as some firmware is said to do): only the
hook tells. Frames as used by the public drivers (kerong-lib and its TypeScript sibling).
"""

from enum import IntEnum

from simulators.rs485.boards.board import Board, Reaction

STX, ETX = 0x02, 0x03
EVERY_BOARD = 0xF0


class Command(IntEnum):
    GET_STATE = 0x30
    UNLOCK = 0x31
    GET_ALL_STATES = 0x32
    UNLOCK_ALL = 0x33
    STATE = 0x35
    STATE_OF_ALL = 0x36
    PULSE = 0x37
    PULSE_ANSWER = 0x38  # from the host: what drivers send to a board that stays busy
    DELAYED_UNLOCK = 0x39
    BAUD = 0x40


BAUDS = (9600, 19200, 57600, 115200)
MAX_DELAY_S = 250
FACTORY_PULSE = 55  # × 10 ms

# Number of data bytes each command may carry, fewest first.
DATA_BYTES: dict[int, tuple[int, ...]] = {
    Command.GET_STATE: (0,),
    Command.UNLOCK: (0,),
    Command.GET_ALL_STATES: (0,),
    Command.UNLOCK_ALL: (0,),
    Command.STATE: (4,),
    Command.STATE_OF_ALL: (4,),
    Command.PULSE: (0, 2),
    Command.PULSE_ANSWER: (0, 2),
    Command.DELAYED_UNLOCK: (1,),
    Command.BAUD: (1,),
}


def seal(address: int, command: int, data: bytes = b"") -> bytes:
    """`address` is the whole ADDR byte."""
    body = bytes((STX, address, command)) + data + bytes((ETX,))
    return body + bytes((sum(body) & 0xFF,))


def is_sealed(frame: bytes) -> bool:
    return frame[-2] == ETX and sum(frame[:-1]) & 0xFF == frame[-1]


class Cu16(Board):
    kind = "kerong-cu16"
    addresses = range(16)
    numbers = range(16)
    options = frozenset({"flipped", "ack"})

    def reset(self) -> None:
        super().reset()
        self.pulse = FACTORY_PULSE

    def measure(self, heard: bytes) -> int | None:
        if heard[0] != STX:
            return 0
        if len(heard) < 3:
            return None
        for data_bytes in DATA_BYTES.get(heard[2], ()):
            length = 5 + data_bytes
            if len(heard) < length:
                return None
            if is_sealed(heard[:length]):
                return length
        return 0

    def react(self, frame: bytes) -> Reaction | None:
        address, command, data = frame[1], frame[2], frame[3:-2]
        if command == Command.GET_ALL_STATES and address == EVERY_BOARD:
            return Reaction("get_all_states", answer=lambda closed: self._state(Command.STATE_OF_ALL, closed))
        if address >> 4 != self.address:
            return None
        lock = address & 0x0F
        match command:
            case Command.GET_STATE:
                return Reaction("get_state", answer=lambda closed: self._state(Command.STATE, closed))
            case Command.GET_ALL_STATES:
                return Reaction("get_all_states", answer=lambda closed: self._state(Command.STATE_OF_ALL, closed))
            case Command.UNLOCK:
                ack = (lambda closed: self._state(Command.STATE, closed)) if "ack" in self.chosen else None
                return Reaction("unlock", lock=lock, unlocks=(lock,), answer=ack, answers_after_latch=True)
            case Command.UNLOCK_ALL:
                return Reaction("unlock_all", unlocks=tuple(self.numbers))
            case Command.PULSE:
                return self._set_or_tell_pulse(data)
            case Command.DELAYED_UNLOCK if data[0] <= MAX_DELAY_S:
                return Reaction("delayed_unlock", lock=lock, unlocks=(lock,), unlock_delay_s=float(data[0]))
            case Command.BAUD if data[0] < len(BAUDS):
                return Reaction("set_baud", new_baud=BAUDS[data[0]])
            case Command.PULSE_ANSWER:
                return Reaction("nudge")
        self.counters["refused"] += 1
        return None

    def readdress(self, answer: bytes) -> bytes:
        return seal((answer[1] + 0x10) & 0xFF, answer[2], answer[3:-2])

    def _state(self, command: int, closed_bit: bool) -> bytes:
        hooks = sum((lock.reads_closed is closed_bit) << number for number, lock in self.locks.items())
        items = sum(lock.present << number for number, lock in self.locks.items())
        return seal(self.address << 4, command, hooks.to_bytes(2, "little") + items.to_bytes(2, "little"))

    def _set_or_tell_pulse(self, data: bytes) -> Reaction:
        def set_pulse() -> None:
            if data:
                self.pulse = int.from_bytes(data, "big")

        def tell(_: bool) -> bytes:
            return seal(self.address << 4, Command.PULSE_ANSWER, self.pulse.to_bytes(2, "big"))

        return Reaction("pulse", answer=tell, effect=set_pulse)
