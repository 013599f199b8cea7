"""Lock boards on a line in virtual time. Frames come from the RS485 simulator, not from the Pi's own codec."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from pi_client.ports import LineError
from simulators.rs485.boards.cu16 import Command as Frame
from simulators.rs485.boards.cu16 import Cu16
from simulators.rs485.locks import Lock

from .faults import BOARD_ANSWERS, Fault
from .oracle import Sighting
from .world import Killed, World

BYTE_S = 10 / 19200
ANSWER_S = 0.008
BUSY_S = 0.1
# A wait shorter than this could be lost in rounding, and time would stand still.
SHORTEST_S = 1e-6
# A false reading this soon after a pulse may pass for its effect; later too, where the Pi stood still meanwhile and
# has not answered yet.
LIE_COUNTS_S = 3.0

Fired = Callable[[UUID], Sighting | None]


@dataclass
class Trouble:
    """A board that misbehaves for a while after a pulse."""

    fault: Fault
    until: float


@dataclass
class Station:
    """A board with the carts behind its locks; it and they outlive every restart of the Pi."""

    board: Cu16
    carts: dict[int, UUID]
    trouble: Trouble | None = None
    deaf_since: float | None = None
    last: dict[int, Sighting] = field(default_factory=dict)

    def lock_of(self, cart_id: UUID) -> Lock:
        number = next(number for number, one in self.carts.items() if one == cart_id)
        return self.board.locks[number]


class Line:
    """Implements pi_client.ports.SerialLine. `fired` is told of each pulse before the latch moves.

    `misread` is told of each cart whose hook may be read as closed from now on though it is open.
    """

    def __init__(
        self,
        world: World,
        stations: list[Station],
        *,
        fired: Fired,
        opened: Callable[[Station, int], None],
        misread: Callable[[UUID], None],
    ) -> None:
        self._world = world
        self._stations = stations
        self._fired = fired
        self._opened = opened
        self._misread = misread
        self._arrived: deque[bytes] = deque()
        self._late: deque[bytes] = deque()

    def write(self, data: bytes) -> None:
        world = self._world
        pulse = len(data) > 2 and data[2] == Frame.UNLOCK
        if pulse and world.strikes(Fault.PI_BEFORE_RELAY):
            raise Killed
        lost = pulse and world.strikes(Fault.PORT_LOST)
        if lost and world.random.random() < 0.5:
            raise LineError("gone before the pulse")
        self._arrived.extend(self._late)
        self._late.clear()
        for station in self._stations:
            for frame in station.board.hear(data):
                self._obey(station, frame)
        world.pass_time(len(data) * BYTE_S)
        if pulse and world.strikes(Fault.PI_AFTER_RELAY):
            raise Killed
        if lost:
            raise LineError("gone after the pulse")

    def read(self, timeout_s: float) -> bytes:
        if not self._arrived:
            self._world.pass_time(max(timeout_s, SHORTEST_S))
            return b""
        data = self._arrived.popleft()
        self._world.pass_time(ANSWER_S + len(data) * BYTE_S)
        return data

    def discard(self) -> None:
        self._arrived.clear()

    def close(self) -> None:
        self._arrived.clear()

    def _obey(self, station: Station, frame: bytes) -> None:
        reaction = station.board.react(frame)
        if reaction is None:
            return
        for number in reaction.unlocks:
            self._pulse(station, number)
        if station.deaf_since is not None:
            if self._world.now - station.deaf_since >= BUSY_S and not reaction.unlocks:
                station.deaf_since = None
            return
        if reaction.answer is not None:
            self._answer(station, frame, reaction.answer)

    def _pulse(self, station: Station, number: int) -> None:
        world, lock = self._world, station.board.locks[number]
        sighting = self._fired(station.carts[number])
        if sighting is None:
            return
        station.last[number] = sighting
        # A hook that stands open already needs no pulse to be open.
        sighting.opened = not lock.hook_closed
        for fault in BOARD_ANSWERS:
            if world.strikes(fault):
                world.note(fault, sighting.command_id)
                station.trouble = Trouble(fault, world.now + world.between(0.02, 3.0))
                station.deaf_since = world.now if fault is Fault.BOARD_BUSY else None
        if world.strikes(Fault.HOOK_STUCK):
            world.note(Fault.HOOK_STUCK, sighting.command_id)
            return
        if world.strikes(Fault.SENSOR_STUCK):
            world.note(Fault.SENSOR_STUCK, sighting.command_id)
            lock.stuck_reading = True
            self._misread(station.carts[number])
        slow = world.strikes(Fault.HOOK_SLOW)
        if slow or world.random.random() < 0.3:
            world.after(
                world.between(0.3, 4.0) if slow else world.between(0.01, 0.2),
                lambda: self._open(station, number, sighting),
            )
        else:
            self._open(station, number, sighting)

    def _open(self, station: Station, number: int, sighting: Sighting) -> None:
        station.board.locks[number].release()
        # Also where this is a slow effect of the pulse before: whoever asks now truly finds it open.
        sighting.opened = station.last[number].opened = True
        self._opened(station, number)

    def _answer(self, station: Station, frame: bytes, render: Callable[[bool], bytes]) -> None:
        board = station.board
        trouble = station.trouble
        if trouble is not None and self._world.now > trouble.until:
            trouble = station.trouble = None
        fault = trouble.fault if trouble else None
        if fault is Fault.BOARD_SILENT:
            return
        data = render(board.closed_bit is not (fault is Fault.BOARD_FLIPPED))
        if fault is Fault.BOARD_FLIPPED:
            for sighting in station.last.values():
                soon = self._world.now - sighting.firings[-1] < LIE_COUNTS_S
                sighting.lied = sighting.lied or soon or not sighting.answers
            for cart_id in station.carts.values():
                self._misread(cart_id)
        if fault is Fault.BOARD_WRONG_ADDRESS:
            data = board.readdress(data)
        elif fault is Fault.BOARD_BAD_SUM:
            data = data[:-1] + bytes((data[-1] ^ 0xFF,))
        elif fault is Fault.BOARD_TRUNCATED:
            data = data[: self._world.random.randint(1, len(data) - 1)]
        elif fault is Fault.BOARD_GARBAGE:
            data = bytes(self._world.random.choice((0x00, 0xFF)) for _ in range(3)) + data
        elif fault is Fault.BOARD_ECHO:
            data = frame + data
        (self._late if fault is Fault.BOARD_LATE else self._arrived).append(data)
