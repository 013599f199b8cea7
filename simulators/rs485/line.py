"""The pair of wires: a pseudo-terminal that takes as long as RS485 would, where two speakers spoil each other."""

import os
import select
import termios
import time
import tty
from collections import Counter, deque
from functools import partial
from pathlib import Path

from simulators.process import StopSignal
from simulators.rs485.bus import Answer, Bus
from simulators.rs485.faults import overlap
from simulators.rs485.timing import Schedule

READ_BYTES = 4096
MAX_BACKLOG_S = 5.0  # of wire time the host may be ahead; a real port's buffer is far smaller
LONE_BYTE_S = 0.001  # least gap between bytes sent one at a time

_SPEEDS = {getattr(termios, f"B{baud}"): baud for baud in (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400)}
_CODES = {baud: code for code, baud in _SPEEDS.items()}


class Line:
    """Owns the pty, in the thread that calls `run`; everything on the bus happens there or under the bus's guard.

    The host's bytes reach the boards when their wire time is over, never earlier; an answer reaches the host with its
    last bit. All deadlines are reckoned from the ideal times, so a late wake-up is not added to the next one.
    """

    def __init__(self, bus: Bus, link: Path, baud: int) -> None:
        """Makes the pty at `baud` and (re)places the symlink. Raises ValueError for a speed termios has no code for."""
        if baud not in _CODES:
            raise ValueError(f"baud is one of {sorted(_CODES)}, not {baud}")
        self.bus = bus
        self.link = link
        self.baud = baud
        self.counters: Counter[str] = Counter()
        self._host_done_at = 0.0  # end of the host's last byte on the wire
        self._schedule = Schedule()
        self._speaking = False  # a board has the pair
        self._spoiled = False
        self._waiting: deque[Answer] = deque()  # for their turn on the pair
        self._waker, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        bus.wake = self.wake
        # Our own hold on the slave side keeps the pty and its settings alive while no host has it open.
        self._master, self._slave = os.openpty()
        os.set_blocking(self._master, False)
        tty.setraw(self._slave)
        self._set_host_baud(baud)
        self.pty = os.ttyname(self._slave)
        partial_link = link.with_name(f"{link.name}.{os.getpid()}.part")
        partial_link.unlink(missing_ok=True)
        partial_link.symlink_to(self.pty)
        partial_link.replace(link)

    def close(self) -> None:
        if self.link.is_symlink() and str(self.link.readlink()) == self.pty:  # not a successor's
            self.link.unlink()
        for descriptor in (self._master, self._slave, self._waker, self._wake):
            os.close(descriptor)

    def wake(self) -> None:
        try:
            os.write(self._wake, b"\0")
        except BlockingIOError:
            pass  # it will wake anyway

    def run(self, stop: StopSignal) -> None:
        while True:
            with self.bus.guard:
                self._settle()
                deadlines = [at for at in (self.bus.schedule.next_at(), self._schedule.next_at()) if at is not None]
            wait = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
            ready, _, _ = select.select([self._master, self._waker, stop.fileno()], [], [], wait)
            if stop.fileno() in ready:
                return
            if self._waker in ready:
                os.read(self._waker, READ_BYTES)
            if self._master in ready:
                with self.bus.guard:
                    self._receive(os.read(self._master, READ_BYTES))

    def _settle(self) -> None:
        """Do all that is due: locks move before the boards tell of them."""
        bus = self.bus
        busy = True
        while busy:
            now = time.monotonic()
            busy = bus.schedule.run_due(now)
            while bus.answers:
                answer = bus.answers.popleft()
                self._schedule.at(answer.start_at, partial(self._start, answer, answer.start_at))
            busy = self._schedule.run_due(now) or busy

    def _receive(self, data: bytes) -> None:
        now = time.monotonic()
        self.counters["host_bytes"] += len(data)
        baud = self._host_baud()
        done_at = max(now, self._host_done_at) + self.bus.timing.wire_s(len(data), baud)
        if done_at - now > MAX_BACKLOG_S:
            self.counters["host_overrun_bytes"] += len(data)
            return
        self._host_done_at = done_at
        if self._speaking:
            self._collide("the host spoke over an answer")
        elif done_at > now:
            self._schedule.at(done_at, partial(self.bus.hear, data, done_at, baud))
        else:
            self.bus.hear(data, now, baud)

    def _start(self, answer: Answer, at: float) -> None:
        if self._speaking:
            self._waiting.append(answer)
            return
        sent = answer.render()
        if sent is None:
            return
        self.bus.journal.add_frame(at, sent.speaker, sent.data)
        wire_s = self.bus.timing.wire_s
        self._speaking, self._spoiled = True, False
        if self.bus.timing.paced and self._host_done_at > at:
            self._collide("a board answered into the host's words")
        if sent.one_by_one:
            gap = max(LONE_BYTE_S, wire_s(1, sent.baud))
            ends = [(sent.data[i : i + 1], at + (i + 1) * gap) for i in range(len(sent.data))]
        else:
            ends = [(sent.data, at + wire_s(len(sent.data), sent.baud))]
        for data, end_at in ends:
            self._schedule.at(end_at, partial(self._deliver, data))
        self._schedule.at(end_at, partial(self._finish, end_at))

    def _deliver(self, data: bytes) -> None:
        data = overlap(data) if self._spoiled else data
        try:
            written = os.write(self._master, data)
        except BlockingIOError:
            written = 0
        self.counters["board_bytes"] += written
        self.counters["overrun_bytes"] += len(data) - written  # nobody reads the other end

    def _finish(self, at: float) -> None:
        self._speaking = False
        while self._waiting and not self._speaking:
            answer = self._waiting.popleft()
            self._start(answer, max(at, answer.start_at))

    def _collide(self, how: str) -> None:
        self._spoiled = True
        self.counters["collisions"] += 1
        self.bus.journal.add("collision", f"collision: {how}")

    def _host_baud(self) -> int:
        """As the host has set it; 0 for one no board knows."""
        return _SPEEDS.get(termios.tcgetattr(self._slave)[5], 0)

    def _set_host_baud(self, baud: int) -> None:
        settings = termios.tcgetattr(self._slave)
        settings[4] = settings[5] = _CODES[baud]
        termios.tcsetattr(self._slave, termios.TCSANOW, settings)
