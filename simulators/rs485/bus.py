"""The boards on one bus: what they hear, what they do, what they say, and how all of it goes wrong."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from simulators.rs485.boards.board import Board, Reaction
from simulators.rs485.faults import Faults, Kind, overlap
from simulators.rs485.journal import Journal
from simulators.rs485.locks import Lock
from simulators.rs485.timing import MODES, Schedule, Timing

BUSY_S = 0.1
PARTIAL_FRAME_S = 0.1  # silence after which half a frame is forgotten


@dataclass(frozen=True)
class Sent:
    data: bytes
    speaker: str
    baud: int
    one_by_one: bool = False


@dataclass(frozen=True)
class Answer:
    """Ready to leave at `start_at` (monotonic); `render` composes it then, None when nothing is said after all."""

    start_at: float
    render: Callable[[], Sent | None]


class Bus:
    """Guarded by `guard`: whoever calls holds it. `wake` is called when `answers` grew without a word from the host."""

    def __init__(self, boards: Sequence[Board], faults: Faults, mode: str, auto_pull_s: float | None = None) -> None:
        self.guard = threading.RLock()
        self.boards = {board.address: board for board in boards}
        self.faults = faults
        self.mode = mode
        self.auto_pull_s = auto_pull_s
        self.journal = Journal()
        self.schedule = Schedule()
        self.answers: deque[Answer] = deque()
        self.wake: Callable[[], None] = lambda: None
        self._late: list[Sent] = []
        self._busy_since: dict[int, float] = {}
        self._last_unlocked: dict[int, int] = {}
        self._heard_at = 0.0

    @property
    def timing(self) -> Timing:
        return MODES[self.mode]

    def reset(self) -> None:
        """Every cart home and locked, no faults, nothing under way; the numbering goes on."""
        for board in self.boards.values():
            board.reset()
        self.faults.armed.clear()
        self.schedule.clear()
        self.answers.clear()
        self._late.clear()
        self._busy_since.clear()
        self._last_unlocked.clear()
        self.journal.add("reset", "bus reset")

    def hear(self, data: bytes, heard_at: float, baud: int) -> None:
        """Bytes that have left the host's end of the wire at `heard_at`, sent at `baud`."""
        self.journal.add_frame(heard_at, "host", data)
        silence, self._heard_at = heard_at - self._heard_at, heard_at
        for board in self.boards.values():
            if board.baud != baud:
                if not board.counters["chunks_at_other_baud"]:
                    self._note("wrong_baud", f"board {board.address} at {board.baud} baud, host at {baud}", board)
                board.counters["chunks_at_other_baud"] += 1
                continue
            if silence > PARTIAL_FRAME_S:
                board.forget_partial()
            for frame in board.hear(data):
                self._release_late(heard_at)
                self._obey(board, frame, heard_at)
                if board.baud != baud:  # what follows in the same breath came at the old speed
                    board.forget_partial()
                    break

    def move_cart(self, board: Board, lock: Lock, *, taken: bool) -> None:
        """Raises CartLockedError when it is taken from a closed hook."""
        was_closed = lock.hook_closed
        if taken:
            lock.pull()
            self._note("cart_pulled", f"lock {lock.number} on board {board.address}: cart taken", board, lock)
        else:
            lock.push()
            latched = "latched" if lock.hook_closed else "not latched"
            self._note("cart_pushed", f"lock {lock.number} on board {board.address}: cart back, {latched}", board, lock)
        if lock.hook_closed is not was_closed:
            self._report(board, lock)

    def _obey(self, board: Board, frame: bytes, heard_at: float) -> None:
        reaction = board.react(frame)
        if reaction is None or self._is_deaf(board, reaction, heard_at):
            return
        board.counters["frames"] += 1
        if reaction.effect:
            reaction.effect()
        timing = self.timing
        for turn, number in enumerate(reaction.unlocks):
            when = heard_at + reaction.unlock_delay_s + turn * timing.stagger_s
            self.schedule.at(when, partial(self._fire, board, board.locks[number], when))
        if reaction.unlocks:
            self._last_unlocked[board.address] = reaction.unlocks[-1]
            if self._strikes(Kind.BUSY, board, reaction.lock):
                self._busy_since[board.address] = heard_at
        start_at = heard_at + timing.board_delay_s
        if reaction.answers_after_latch:
            start_at += timing.latch_s + max(0, len(reaction.unlocks) - 1) * timing.stagger_s
        self.answers.append(Answer(start_at, partial(self._compose, board, frame, reaction)))
        if reaction.new_baud:
            board.baud = reaction.new_baud
            board.counters["chunks_at_other_baud"] = 0
            self._note("baud_changed", f"board {board.address}: now at {board.baud} baud", board)

    def _is_deaf(self, board: Board, reaction: Reaction, heard_at: float) -> bool:
        """Dead, or busy after an unlock until the first harmless frame that comes BUSY_S later."""
        if self._strikes(Kind.DEAD, board, reaction.lock):
            return True
        since = self._busy_since.get(board.address)
        if since is None:
            return False
        if heard_at - since >= BUSY_S and not reaction.unlocks:
            del self._busy_since[board.address]
            self._note("nudged", f"board {board.address}: no longer busy", board)
        return True

    def _fire(self, board: Board, lock: Lock, when: float) -> None:
        firing = self.journal.next_firing()
        lock.firings += 1
        where = f"lock {lock.number} on board {board.address}"
        self._note("unlock_fired", f"{where}: coil fired (firing #{firing})", board, lock, firing=firing)
        if self._strikes(Kind.STUCK_HOOK, board, lock.number):
            return
        if self._strikes(Kind.STUCK_SENSOR, board, lock.number):
            lock.stuck_reading = lock.hook_closed
        if self.timing.latch_s:
            opens_at = when + self.timing.latch_s
            self.schedule.at(opens_at, partial(self._open, board, lock, firing, opens_at))
        else:
            self._open(board, lock, firing, when)

    def _open(self, board: Board, lock: Lock, firing: int, when: float) -> None:
        where = f"lock {lock.number} on board {board.address}"
        if not lock.release():
            why = "latch jammed" if lock.jammed else "latch was open"
            self._note("hook_unmoved", f"{where}: {why} (firing #{firing})", board, lock, firing=firing)
            return
        self._note("hook_opened", f"{where}: latch opened (firing #{firing})", board, lock, firing=firing)
        self._report(board, lock)
        if self.auto_pull_s is not None:
            self.schedule.at(when + self.auto_pull_s, partial(self._auto_pull, board, lock))

    def _auto_pull(self, board: Board, lock: Lock) -> None:
        if lock.present and not lock.hook_closed:
            self.move_cart(board, lock, taken=True)

    def _compose(self, board: Board, frame: bytes, reaction: Reaction) -> Sent | None:
        """The answer as it leaves, each fault in the order the bytes meet it: firmware, driver, pair, adapter."""
        # A state query names no lock: a fault of one lock then means the one unlocked last.
        lock = reaction.lock if reaction.lock is not None else self._last_unlocked.get(board.address)
        strikes = partial(self._strikes, board=board, lock=lock)
        speaker = f"board {board.address}"
        if reaction.answer is None or strikes(Kind.NO_REPLY):
            return Sent(frame, "echo", board.baud) if strikes(Kind.ECHO) else None
        data = reaction.answer(board.closed_bit is not strikes(Kind.FLIPPED))
        if strikes(Kind.WRONG_ADDRESS):
            data = board.readdress(data)
        if strikes(Kind.BAD_SUM):
            data = data[:-1] + bytes((data[-1] ^ 0xFF,))
        if strikes(Kind.TRUNCATED):
            data = data[: self.faults.random.randint(1, len(data) - 1)]
        if strikes(Kind.SAME_ADDRESS):
            data = overlap(data)
        if strikes(Kind.LATE):
            self._late.append(Sent(data, speaker, board.baud))
            return None
        if strikes(Kind.GARBAGE):
            data = self.faults.garbage() + data
        if strikes(Kind.ECHO):
            data = frame + data
        board.counters["answers"] += 1
        return Sent(data, speaker, board.baud, one_by_one=strikes(Kind.ONE_BYTE_AT_A_TIME))

    def _release_late(self, heard_at: float) -> None:
        for sent in self._late:
            self.answers.append(Answer(heard_at, partial(_as_is, sent)))
        self._late.clear()

    def _report(self, board: Board, lock: Lock) -> None:
        if report := board.report_hook(lock):
            sent = Sent(report, f"board {board.address}", board.baud)
            self.answers.append(Answer(time.monotonic() + self.timing.board_delay_s, partial(_as_is, sent)))
            self.wake()

    def _strikes(self, kind: Kind, board: Board, lock: int | None) -> bool:
        if not self.faults.armed or not self.faults.take(kind, board.address, lock):
            return False
        where = f"board {board.address}" if lock is None else f"lock {lock} on board {board.address}"
        self.journal.add("fault", f"{where}: {kind.value}", kind=kind.value, board=board.address, lock=lock)
        return True

    def _note(self, event: str, line: str, board: Board, lock: Lock | None = None, **facts: object) -> None:
        if lock is not None:
            facts["lock"] = lock.number
        self.journal.add(event, line, board=board.address, **facts)


def _as_is(sent: Sent) -> Sent:
    return sent
