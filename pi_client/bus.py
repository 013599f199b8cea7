"""One serial line and its lock boards. A single thread owns the port; there is one request in flight.

Several unlocks may await their evidence at once: after each firing the board is asked for its state, faster at first.
Between commands every board is read in turn; one that does not answer is asked ever more rarely, so that it never costs
the others much.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from .cart_commands import EVIDENCE_TIMEOUT_S, Attempt, CartDesk, Inbound
from .cart_state import DEBOUNCE_S, UNREADABLE, CartState, CartTracker
from .codec import LockBoard, Reading
from .contract import CommandType, LockState, Outcome, Reason
from .counters import Counters
from .ports import Clock, LineError, SerialLine

log = logging.getLogger(__name__)

MAX_QUEUE = 64
SILENT_AFTER = 3
LONGEST_LATCH_TIME_S = 0.02


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. Boards answer within 10 to 50 ms; the reply time-out adds to the bytes' own time on the wire."""

    reply_timeout: float = 0.12
    evidence_timeout: float = EVIDENCE_TIMEOUT_S
    poll_interval: float = 0.25
    longest_pause: float = 0.05
    silent_interval: float = 5.0
    reopen_interval: float = 2.0
    busy_pause: float = 0.1
    byte_time: float = 10 / 19200


@dataclass(slots=True)
class Unit:
    """A board on the line with its carts, and how it has been doing.

    `latch_time` (seconds) is how long to let an unlock work before the first look. A look that comes too soon costs a
    whole round on the wire, so it grows quickly while first looks are in vain and shrinks slowly while they are not.
    """

    controller_id: UUID
    board: LockBoard
    lockers: dict[UUID, int]
    trackers: dict[UUID, CartTracker] = field(default_factory=dict)
    next_poll: float = 0.0
    latch_time: float = 0.0
    misses: int = 0
    babble: bool = False

    def __post_init__(self) -> None:
        self.trackers = {cart_id: CartTracker() for cart_id in self.lockers}

    def learn_latch_time(self, seen_at_once: bool) -> None:
        self.latch_time = self.latch_time * 0.99 if seen_at_once else min(self.latch_time + 0.001, LONGEST_LATCH_TIME_S)

    @property
    def silent(self) -> bool:
        return self.misses >= SILENT_AFTER


class _TellAll:
    """Asks the bus to report every cart."""


class Bus:
    """`submit` and `tell_all` may be called from any thread; everything else belongs to the bus's own."""

    def __init__(
        self,
        name: str,
        open_line: Callable[[], SerialLine],
        units: Iterable[Unit],
        desk: CartDesk,
        *,
        clock: Clock,
        counters: Counters,
        timing: Timing | None = None,
    ) -> None:
        self.name = name
        self.units = tuple(units)
        self.beat_at = clock.monotonic()
        self._open_line = open_line
        self._desk = desk
        self._clock = clock
        self._counters = counters
        self._timing = timing or Timing()
        self._queue: queue.SimpleQueue[Inbound | _TellAll | None] = queue.SimpleQueue()
        self._unit_of = {cart_id: unit for unit in self.units for cart_id in unit.lockers}
        self._active: dict[UUID, Attempt] = {}
        self._line: SerialLine | None = None
        self._reopen_at = 0.0
        self._line_failed = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name=f"bus {name}", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Ends the thread once the attempts under way have their answers."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join(timeout_s)

    def submit(self, inbound: Inbound) -> bool:
        """Hand over a cart command; False (dropped, counted) when too many wait already."""
        if self._stopping.is_set() or self._queue.qsize() >= MAX_QUEUE:
            self._counters.add("commands_overflow")
            return False
        self._queue.put(inbound)
        return True

    def tell_all(self) -> None:
        self._queue.put(_TellAll())

    def run(self) -> None:
        """The thread. It ends only by `stop`, or by an error of ours, which then ends the process."""
        try:
            while not self._stopping.is_set() or self._active:
                self.turn()
        finally:
            self._close_line()

    def turn(self) -> None:
        """Take at most one command, then ask at most one board."""
        self.beat_at = self._clock.monotonic()
        wait = min(self._next_due() - self.beat_at, 1.0)
        try:
            item = self._queue.get(timeout=wait) if wait > 0 else self._queue.get_nowait()
        except queue.Empty:
            item = None
        if isinstance(item, Inbound):
            self._begin(item)
        elif item is not None:
            self._tell_everything()
        self._ask_next()

    # Commands

    def _begin(self, inbound: Inbound) -> None:
        attempt = self._desk.open(inbound, self._active)
        if attempt is None:
            return
        unit = self._unit_of[attempt.cart_id]
        try:
            line = self._ready_line()
            if attempt.command.type is CommandType.UNLOCK:
                line.discard()
            if not self._desk.clear_to_fire(attempt):
                return
            if attempt.command.type is CommandType.UNLOCK:
                line.write(unit.board.unlock_request(unit.lockers[attempt.cart_id]))
        except LineError as error:
            # Whether the pulse went out or not is left open here, and never tried again.
            self._lose_line(error)
            self._desk.settle(attempt, Outcome.FAILED, Reason.NO_REPLY)
            return
        attempt.fired_at = self._clock.monotonic()
        attempt.deadline = attempt.fired_at + self._timing.evidence_timeout
        attempt.next_look = attempt.fired_at
        if attempt.command.type is CommandType.UNLOCK:
            attempt.next_look += unit.latch_time
        self._active[attempt.command.command_id] = attempt

    def _judge(self, attempt: Attempt, reading: Reading | None, now: float) -> None:
        """Settle the attempt if `reading` is evidence or its time is over, else look again a little later."""
        unit = self._unit_of[attempt.cart_id]
        if reading is not None:
            locker = unit.lockers[attempt.cart_id]
            first = attempt.last is None
            attempt.last = CartState(reading.lock(locker), reading.present(locker))
            seen = self._is_evidence(attempt)
            if first and attempt.command.type is CommandType.UNLOCK:
                unit.learn_latch_time(seen)
            if seen:
                self._end(attempt, Outcome.DONE)
                return
        attempt.babble = attempt.babble or unit.babble
        if now >= attempt.deadline:
            self._end(attempt, Outcome.FAILED, self._failure(attempt))
            return
        pause = attempt.pause if reading is not None else self._timing.busy_pause
        attempt.pause = min(attempt.pause * 1.5, self._timing.longest_pause)
        attempt.next_look = now + pause

    def _is_evidence(self, attempt: Attempt) -> bool:
        if attempt.last is None:
            return False
        if attempt.command.type is CommandType.UNLOCK:
            return attempt.last.lock is LockState.UNLOCKED
        # A closed latch is what ends a rental, and one frame's checksum is too weak for that: two in a row.
        closed = attempt.last.lock is LockState.LOCKED
        twice, attempt.confirmed = closed and attempt.confirmed, closed
        return twice

    @staticmethod
    def _failure(attempt: Attempt) -> Reason:
        if attempt.last is not None:
            return Reason.NOT_OBSERVED
        return Reason.BAD_FRAME if attempt.babble else Reason.NO_REPLY

    def _end(self, attempt: Attempt, outcome: Outcome, reason: Reason | None = None) -> None:
        del self._active[attempt.command.command_id]
        self._unit_of[attempt.cart_id].trackers[attempt.cart_id].settle(attempt.last or UNREADABLE)
        self._desk.settle(attempt, outcome, reason)

    # Boards

    def _due(self, unit: Unit) -> float:
        looks = [attempt.next_look for attempt in self._active.values() if attempt.cart_id in unit.lockers]
        return min(looks) if looks else unit.next_poll

    def _next_due(self) -> float:
        return min((self._due(unit) for unit in self.units), default=self.beat_at + 1.0)

    def _ask_next(self) -> None:
        now = self._clock.monotonic()
        # Whoever has an attempt under way goes first, then whoever has waited longest.
        busy = {self._unit_of[attempt.cart_id].controller_id for attempt in self._active.values()}
        due = [unit for unit in self.units if self._due(unit) <= now]
        if due:
            unit = min(due, key=lambda unit: (unit.controller_id not in busy, self._due(unit)))
            self._look(unit)

    def _look(self, unit: Unit) -> None:
        try:
            reading = self._ask(unit)
        except LineError as error:
            self._lose_line(error)
            reading, unit.babble = None, False
        now = self._clock.monotonic()
        unit.next_poll = now + self._timing.poll_interval
        if reading is None:
            self._missed(unit, now)
        else:
            self._answered(unit, reading, now)
        for attempt in [one for one in self._active.values() if one.cart_id in unit.lockers]:
            self._judge(attempt, reading, now)

    def _ask(self, unit: Unit) -> Reading | None:
        line, board, timing = self._ready_line(), unit.board, self._timing
        line.discard()
        board.reset()
        rejected = board.rejected
        request = board.state_request()
        line.write(request)
        wire = (len(request) + board.reply_bytes) * timing.byte_time
        deadline = self._clock.monotonic() + timing.reply_timeout + wire
        while (left := deadline - self._clock.monotonic()) > 0:
            reading = board.feed(line.read(left))
            if reading is not None:
                self._count_garbage(board.rejected - rejected)
                return reading
        board.reset()
        unit.babble = board.rejected > rejected
        self._count_garbage(board.rejected - rejected)
        return None

    def _count_garbage(self, amount: int) -> None:
        if amount:
            self._counters.add("rs485_bytes_rejected", amount)

    def _answered(self, unit: Unit, reading: Reading, now: float) -> None:
        if unit.silent:
            log.info("board %s on %s answers again", unit.controller_id, self.name)
            self._desk.note("board_answering", {"controller_id": str(unit.controller_id)})
        unit.misses, unit.babble = 0, False
        under_way = self._under_way()
        changed = {}
        for cart_id, locker in unit.lockers.items():
            state = CartState(reading.lock(locker), reading.present(locker))
            tracker = unit.trackers[cart_id]
            if cart_id not in under_way and tracker.observe(state, now):
                changed[cart_id] = state
            if tracker.candidate is not None:
                unit.next_poll = now + DEBOUNCE_S
        if changed:
            self._desk.tell_states(changed, changed=True)

    def _missed(self, unit: Unit, now: float) -> None:
        unit.misses += 1
        self._counters.add("rs485_no_reply")
        back_off = self._timing.poll_interval * 2 ** min(unit.misses, 10)
        unit.next_poll = now + min(back_off, self._timing.silent_interval)
        if unit.misses == SILENT_AFTER:
            log.warning("board %s on %s does not answer", unit.controller_id, self.name)
            self._desk.note("board_silent", {"controller_id": str(unit.controller_id), "port": self.name})
            if all(other.silent for other in self.units):
                # USB adapters freeze; opening the port anew wakes them.
                self._close_line()
        if unit.silent:
            self._tell_unreadable(unit)

    def _tell_unreadable(self, unit: Unit) -> None:
        """Report the carts of a silent board that were last told otherwise, be it by an answer since it fell silent."""
        under_way = self._under_way()
        lost = {
            cart_id: UNREADABLE
            for cart_id, tracker in unit.trackers.items()
            if cart_id not in under_way and tracker.told != UNREADABLE
        }
        for cart_id in lost:
            unit.trackers[cart_id].settle(UNREADABLE)
        if lost:
            self._desk.tell_states(lost, changed=True)

    def _tell_everything(self) -> None:
        under_way = self._under_way()
        states = {
            cart_id: tracker.told
            for unit in self.units
            for cart_id, tracker in unit.trackers.items()
            if cart_id not in under_way and tracker.told is not None
        }
        if states:
            self._desk.tell_states(states, changed=False)

    def _under_way(self) -> set[UUID]:
        """Carts whose state only their command's answer may tell.

        Its number is reserved before the pulse: a report made meanwhile would be numbered after it, and of two
        observations the cloud believes the one with the higher number.
        """
        return {attempt.cart_id for attempt in self._active.values()}

    # The port

    def _ready_line(self) -> SerialLine:
        if self._line is None:
            now = self._clock.monotonic()
            if now < self._reopen_at:
                raise LineError("the port was lost a moment ago")
            self._reopen_at = now + self._timing.reopen_interval
            self._line = self._open_line()
            self._line_failed = False
            log.info("%s is open", self.name)
        return self._line

    def _lose_line(self, error: LineError) -> None:
        log.log(logging.DEBUG if self._line_failed else logging.WARNING, "%s: %s", self.name, error)
        self._line_failed = True
        self._counters.add("rs485_line_errors")
        self._close_line()

    def _close_line(self) -> None:
        if self._line is not None:
            try:
                self._line.close()
            except OSError as error:
                log.debug("closing %s: %s", self.name, error)
        self._line = None
