"""One Pi: the real session, journal, desks, bus and clock of pi_client, wired as in its daemon, on virtual time.

What is not here of the daemon: its threads, paho, serial port and HTTP. Each start makes all objects anew on the same
SQLite file.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from pi_client.adapters.sqlite_store import SqliteStore
from pi_client.bus import Bus, Timing, Unit
from pi_client.cart_commands import CartDesk, Inbound, tell_unfinished
from pi_client.clock import ServerClock
from pi_client.codec import CU16
from pi_client.contract import Outcome, Presence, PresenceState, encode, parse_topic
from pi_client.counters import Counters
from pi_client.device_commands import DeviceDesk
from pi_client.session import Session
from pi_client.site import Topics
from pi_client.uplink import Uplink

from .board import Line, Station
from .faults import Fault
from .oracle import Oracle, Sighting
from .wire import Link, Wire, lost
from .world import EPOCH, Killed, World

DAY_S = 86_400.0
TICK_S = 1e-6
HEARTBEAT_S = 30.0
CLOCKLESS_S = 5.0
# Often enough to meet commands under way; far longer than one lives.
PRUNE_EVERY_S = 60.0
# The daemon's own values but for the idle poll, which would be most of the work.
TIMING = Timing(poll_interval=1.0)

# A heartbeat in the cloud: device, connection id → the server's date.
Heartbeat = Callable[[UUID, UUID | None], datetime]


class PiClock:
    """Implements pi_client.ports.Clock: seconds since power-on, and a date that may be wrong and may jump."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._started = world.now - world.between(10, 1000)
        self.wrong_by = (
            world.random.choice((-1, 1)) * world.between(0.5, 5) * DAY_S if world.strikes(Fault.CLOCK_WRONG) else 0.0
        )

    def monotonic(self) -> float:
        return self._world.now - self._started

    def wall(self) -> datetime:
        return EPOCH + timedelta(seconds=self._world.now + self.wrong_by)


class Store(SqliteStore):
    """The real store; the process dies before or after its writes, the disk may be slow, the power may go."""

    world: World
    _flushed: tuple[int, int] = (0, 0)

    @contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        with super()._transaction(durable=durable) as connection:
            yield connection
        if durable:
            self._flushed = (self._wal.stat().st_size, self._path.stat().st_mtime_ns)

    @property
    def _wal(self) -> Path:
        return self._path.with_name(f"{self._path.name}-wal")

    def lose_power(self) -> bool:
        """Close as a power cut would: commits since the last flush are gone. False when none can be told apart."""
        size, main_file_at = self._flushed
        # A checkpoint flushes the log and writes to the main file: then everything is on the disk.
        kept = self._path.stat().st_mtime_ns == main_file_at and 0 < size < self._wal.stat().st_size
        main, log = self._path.read_bytes(), self._wal.read_bytes()[:size] if kept else b""
        self.close()
        if kept:
            self._path.write_bytes(main)
            self._wal.write_bytes(log)
        return kept

    def accept(self, command_id: UUID, *, target_id: UUID, topic: str, numbered: bool) -> int | None:
        if self.world.strikes(Fault.PI_BEFORE_JOURNAL):
            raise Killed
        if self.world.strikes(Fault.SLOW_DISK):
            self.world.pass_time(self.world.between(0.5, 9.0))
        seq = super().accept(command_id, target_id=target_id, topic=topic, numbered=numbered)
        if self.world.strikes(Fault.PI_AFTER_JOURNAL):
            raise Killed
        return seq

    def finish(self, command_id: UUID, *, outcome: Outcome, topic: str, payload: bytes, copies: int = 1) -> None:
        if self.world.strikes(Fault.PI_BEFORE_ANSWER):
            raise Killed
        super().finish(command_id, outcome=outcome, topic=topic, payload=payload, copies=copies)
        if self.world.strikes(Fault.PI_AFTER_ANSWER):
            raise Killed


class VirtualBus(Bus):
    """The real bus without its thread: the world says when it may turn. `handling` is the message being begun."""

    handling: Inbound | None = None

    @property
    def wants_turn_at(self) -> float:
        return self._clock.monotonic() if not self._queue.empty() else self._next_due()

    def _begin(self, inbound: Inbound) -> None:
        self.handling = inbound
        try:
            super()._begin(inbound)
        finally:
            self.handling = None


class _NoHost:
    """Implements device_commands.Host: this campaign sends neither restarts nor configurations."""

    def restart(self) -> None:
        raise AssertionError("nobody asked for a restart")

    def refresh_config(self, done: Callable[[bool], None]) -> None:
        raise AssertionError("nobody sent a configuration")


@dataclass(frozen=True)
class Place:
    """Where a Pi stands: its topics, and its boards by controller id."""

    topics: Topics
    stations: dict[UUID, Station] = field(default_factory=dict)

    @property
    def device_id(self) -> UUID:
        return self.topics.device_id


class Pi:
    """Starts, dies and starts again. `make_store` is replaced by seeded bugs."""

    make_store: type[Store] = Store

    def __init__(
        self, world: World, wire: Wire, oracle: Oracle, place: Place, journal: Path, heartbeat: Heartbeat
    ) -> None:
        self.world = world
        self.wire = wire
        self.oracle = oracle
        self.place = place
        self.journal = journal
        self.opened: Callable[[Station, int], None] = lambda station, number: None
        self._heartbeat = heartbeat
        self._life = 0
        self.on = False
        self._link: Link | None = None
        self._connection_id: UUID | None = None
        self._turn_at: float | None = None
        self._stalled_until = 0.0
        self._beat_at = 0.0
        self._prune_at = 0.0

    # Life and death

    def start(self) -> None:
        self._life += 1
        self.on = True
        # A start forgets cancels by a date that may be wrong.
        self.oracle.forgets_answers(self.place.device_id, cancels=True)
        world = self.world
        world.note("Pi starts", self.place.device_id)
        self.clock = PiClock(world)
        self.server_clock = ServerClock(self.clock)
        counters = Counters()
        self.store = self.make_store(self.journal, wall=lambda: self.clock.wall().timestamp())
        self.store.world = world
        self.session = Session(self.store, self.server_clock.now)
        self.uplink = Uplink(self.store, self.server_clock.stamp, counters)
        stamp = self.server_clock.stamp
        desk = CartDesk(
            self.session,
            self.store,
            self.store,
            self.uplink,
            topics=self.place.topics,
            clock=self.clock,
            stamp=stamp,
            counters=counters,
        )
        self.device_desk = DeviceDesk(
            self.session, self.store, self.store, self.uplink, _NoHost(), stamp=stamp, counters=counters
        )
        units = [
            Unit(
                identity, CU16(one.board.address, int(one.board.closed_bit)), {cart: n for n, cart in one.carts.items()}
            )
            for identity, one in self.place.stations.items()
        ]
        self.bus = VirtualBus("line", self._open_line, units, desk, clock=self.clock, counters=counters, timing=TIMING)
        self._carts = {cart_id for unit in units for cart_id in unit.lockers}
        self._turn_at, self._stalled_until = None, 0.0
        if self.alive(lambda: tell_unfinished(self.store, stamp)):
            self._schedule_turn()
            self._go_online()

    def alive(self, action: Callable[[], object]) -> bool:
        """Run a piece of the daemon; False when it died of it."""
        try:
            action()
        except Killed:
            self.die()
            return False
        return True

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """After that time, if the process of now still lives."""
        life = self._life

        def act() -> None:
            if self.on and self._life == life:
                self.alive(action)

        self.world.after(seconds, act)

    def die(self) -> None:
        """Killed, or its power is cut; it comes back after a while."""
        world = self.world
        self.on = False
        world.note("Pi dies", self.place.device_id)
        world.outcomes["starts of a Pi"] += 1
        if world.strikes(Fault.POWER_CUT) and self.store.lose_power():
            self.oracle.forgets_answers(self.place.device_id, cancels=True)
        self.store.close()
        same = self._link is not None and world.strikes(Fault.SAME_CONNECTION)
        if self._link is not None:
            self._link.closed = True
            # A takeover under the same id: no last will, which would end the new one.
            self.wire.cut(self._link, will=not same)
        self._link = None
        if not same:
            self._connection_id = None
        world.after(world.between(0.3, 5.0) if world.random.random() < 0.7 else world.between(5.0, 60.0), self.start)

    # The cloud

    def _go_online(self) -> None:
        """Learn the server's clock, then connect, as the daemon does."""
        if self._link is not None:
            return
        connection_id = self._connection_id or uuid4()
        self._beat(None)
        self.later(self.world.between(0.02, 0.3), lambda: self._connect(connection_id))

    def _connect(self, connection_id: UUID) -> None:
        if self._link is not None:
            return
        status = self.place.topics.device("status")
        will = (status, self._presence(PresenceState.OFFLINE, connection_id))
        link = self.wire.connect(self.place.device_id, will=will, listener=self)
        if link is None:
            self.later(self.world.between(0.5, 3.0), self._go_online)
            return
        self._link, self._connection_id = link, connection_id
        self.world.note(f"Pi connects as {str(connection_id)[:8]}", self.place.device_id)
        self.session.open(connection_id)
        link.publish(status, self._presence(PresenceState.ONLINE, connection_id))
        self.uplink.attach(link)
        self.tell_states()

    def tell_states(self) -> None:
        """As the daemon does on each connection and every few minutes."""
        if self.on:
            self.bus.tell_all()
            self._schedule_turn()

    def _presence(self, state: PresenceState, connection_id: UUID) -> bytes:
        return encode(
            Presence(
                message_id=uuid4(),
                sent_at=self.server_clock.stamp(),
                state=state,
                connection_id=connection_id,
                boot_id=self.place.device_id,
                firmware_version="2.0.0",
            )
        )

    def prune(self) -> None:
        """As the daemon does each hour. What is forgotten may be answered anew."""
        if self.world.now >= self._prune_at:
            self._prune_at = self.world.now + PRUNE_EVERY_S
            self.oracle.forgets_answers(self.place.device_id)
            self.store.prune()

    def beat_if_due(self) -> None:
        """Called each second."""
        if self.on and self._connection_id is not None:
            every = HEARTBEAT_S if self.server_clock.now() is not None else CLOCKLESS_S
            if self.clock.monotonic() - self._beat_at >= every:
                self._beat(self._connection_id)

    def _beat(self, connection_id: UUID | None) -> None:
        """A REST heartbeat; there and back take a while, and the answer tells the server's time."""
        world, sent = self.world, self.clock.monotonic()
        self._beat_at = sent
        if world.strikes(Fault.HEARTBEAT_LOST):
            return
        slow = world.strikes(Fault.HEARTBEAT_SLOW)
        there, back = world.between(0.001, 0.01), world.between(0.001, 0.01)
        if slow and world.random.random() < 0.5:
            there = world.between(0.1, 4.9)
        elif slow:
            back = world.between(0.1, 4.9)

        def reach_cloud() -> None:
            server_time = self._heartbeat(self.place.device_id, connection_id)
            self.later(back, lambda: self.server_clock.learn(server_time, sent=sent, received=self.clock.monotonic()))

        self.later(there, reach_cloud)

    # Called by the wire

    def on_message(self, topic: str, payload: bytes, retained: bool) -> None:
        parsed = parse_topic(topic)
        if parsed.kind == "devices":
            self.later(self._delay(), lambda: self._handle_device_message(payload, retained))
        elif parsed.id in self._carts:
            self.bus.submit(Inbound(parsed, payload, retained, self.clock.monotonic()))
            self._schedule_turn(self._delay())

    def on_published(self, message: int) -> None:
        self.alive(lambda: self.uplink.acknowledged([message]))

    def on_lost(self, why: str) -> None:
        if not self.on:
            return
        self.world.note("Pi notices the loss of its connection", self.place.device_id)
        self.session.close()
        self.uplink.detach()
        self._link = self._connection_id = None
        away = self.world.strikes(Fault.OFFLINE, rate=0.1)
        self.later(self.world.between(10.0, 240.0) if away else self.world.between(0.1, 3.0), self._go_online)

    def lose_connection(self) -> None:
        """Goes offline as if its network had failed."""
        if self._link is not None and self._link.up:
            self.wire.cut(self._link)
            lost(self._link)

    def _handle_device_message(self, payload: bytes, retained: bool) -> None:
        status = self.place.topics.device("status")
        self.device_desk.handle(self.place.device_id, status, payload, retained=retained)

    def _delay(self) -> float:
        if self.world.strikes(Fault.STALLED):
            self._stalled_until = self.clock.monotonic() + self.world.between(0.5, 9.0)
        return 0.0005

    # The bus

    def _open_line(self) -> Line:
        stations = list(self.place.stations.values())
        return Line(self.world, stations, fired=self._fired, opened=self.opened, misread=self.oracle.may_read_closed)

    def _fired(self, cart_id: UUID) -> Sighting | None:
        handled = self.bus.handling
        return self.oracle.fired(
            device_id=self.place.device_id,
            cart_id=cart_id,
            connection_id=self._connection_id,
            cause=handled.payload if handled else None,
            retained=handled.retained if handled else False,
            journal=self.journal,
        )

    def _schedule_turn(self, at_least: float = TICK_S) -> None:
        now = self.clock.monotonic()
        wanted = max(self.bus.wants_turn_at, now + at_least, self._stalled_until)
        if self._turn_at is not None and self._turn_at <= wanted:
            return
        self._turn_at = wanted
        self.later(wanted - now + TICK_S, lambda: self._turn(wanted))

    def _turn(self, planned: float) -> None:
        if self._turn_at != planned:
            return
        self._turn_at = None
        if self.clock.monotonic() >= self._stalled_until:
            self.bus.turn()
        self._schedule_turn()
