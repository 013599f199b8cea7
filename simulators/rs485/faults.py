"""Misbehaviour on order: what may go wrong, where, how often. Seeded, so that a run can be repeated."""

from dataclasses import dataclass, field
from enum import StrEnum
from random import Random


class Kind(StrEnum):
    # On hearing a frame
    DEAD = "dead"  # the board hears nothing
    STUCK_HOOK = "stuck_hook"  # the coil fires, the hook stays
    STUCK_SENSOR = "stuck_sensor"  # the hook opens, its switch keeps saying closed
    BUSY = "busy"  # after an unlock the board is deaf until nudged 100 ms later
    # On answering
    NO_REPLY = "no_reply"
    LATE = "late"  # the answer comes in the next transaction
    TRUNCATED = "truncated"
    BAD_SUM = "bad_sum"
    WRONG_ADDRESS = "wrong_address"
    ECHO = "echo"  # the adapter hands the command back first
    GARBAGE = "garbage"  # 00 and FF while the driver turns around
    FLIPPED = "flipped"  # the other polarity
    SAME_ADDRESS = "same_address"  # a second board talks over this one
    ONE_BYTE_AT_A_TIME = "one_byte_at_a_time"


@dataclass
class Fault:
    """`board` or `lock` None: any. `times` None: until cleared. `probability`: of striking when it could."""

    kind: Kind
    board: int | None = None
    lock: int | None = None
    times: int | None = 1
    probability: float = 1.0


@dataclass
class Faults:
    random: Random
    armed: list[Fault] = field(default_factory=list)

    def take(self, kind: Kind, board: int, lock: int | None) -> bool:
        """Whether a fault of this kind strikes now; a strike uses it up once."""
        for fault in self.armed:
            if fault.kind is not kind or fault.board not in (None, board) or fault.lock not in (None, lock):
                continue
            if fault.probability < 1 and self.random.random() >= fault.probability:
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times == 0:
                    self.armed.remove(fault)
            return True
        return False

    def garbage(self) -> bytes:
        return bytes(self.random.choice((0x00, 0xFF)) for _ in range(self.random.randint(1, 3)))


def overlap(frame: bytes) -> bytes:
    """Two drivers on the pair, the second one byte behind: a zero from either wins."""
    return bytes(a & b for a, b in zip(frame + b"\xff", b"\xff" + frame, strict=True))
