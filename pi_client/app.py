"""The daemon: owns the threads, hands messages from one to the other, and runs the main loop."""

import logging
import queue
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from . import __version__
from .adapters import host
from .adapters.sqlite_store import SqliteStore
from .bus import Bus, Timing, Unit
from .cart_commands import CartDesk, Inbound, tell_unfinished
from .clock import ServerClock
from .cloud_link import CloudLink
from .contract import ContractError, LockState, parse_topic
from .counters import Counters
from .device_commands import DeviceDesk
from .enrolment import Enrolment
from .identity import Identity
from .ports import Broker, BrokerConnection, Clock, Cloud, SerialLine, StoreError
from .session import Session
from .settings import Settings
from .site import Controller, Site, Topics
from .uplink import Uplink

log = logging.getLogger(__name__)

MAX_INBOX = 1000
# A report the broker took while nobody listened to it is made good this soon.
STATES_EVERY_S = 240.0
HOUR_S = 3600.0
STORE_RETRY_S = 10.0
# A bus beats at least every second; a line that hangs in the kernel does not.
BUS_HANGS_AFTER_S = 15.0
EXIT_BROKEN = 70  # EX_SOFTWARE of sysexits.h
EXIT_RESTART = 75

OpenLine = Callable[[tuple[Controller, ...]], SerialLine]


@dataclass(frozen=True, slots=True)
class _Published:
    number: int


@dataclass(frozen=True, slots=True)
class _DeviceMessage:
    payload: bytes
    retained: bool


@dataclass(frozen=True, slots=True)
class _LateCommands:
    commands: Any


_Item = _Published | _DeviceMessage | _LateCommands | None


class App:
    """Implements cloud_link.Daemon and device_commands.Host. `stop` may be called from a signal handler."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: SqliteStore,
        cloud: Cloud,
        broker: Broker,
        open_line: OpenLine,
        clock: Clock,
        server_clock: ServerClock,
        enrolment: Enrolment,
        alive: Callable[[str], None] = lambda _status: None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._open_line = open_line
        self._alive = alive
        self._started_at = clock.monotonic()
        self._inbox: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._stopping = False
        self._exit_code = 0
        self._swept = False
        self._recreated = store.recreated
        self._lock = threading.Lock()
        self._site = Site()
        self._identity: Identity | None = None
        self._buses: dict[str, Bus] = {}
        self._bus_of: dict[UUID, Bus] = {}
        self.counters = Counters()
        self.server_clock = server_clock
        self.session = Session(store, server_clock.now)
        self.uplink = Uplink(store, server_clock.stamp, self.counters)
        self._device_desk = DeviceDesk(
            self.session, store, store, self.uplink, self, stamp=server_clock.stamp, counters=self.counters
        )
        self.link = CloudLink(
            enrolment,
            cloud,
            broker,
            self,
            session=self.session,
            server_clock=server_clock,
            clock=clock,
            boot_id=uuid4(),
            firmware_version=__version__,
        )
        self._due: dict[str, float] = defaultdict(float)

    # Main loop

    def run(self) -> int:
        """Until `stop` or a `restart` command; the process's exit code."""
        self._sweep()
        self.link.start()
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._shut_down()
        return self._exit_code

    def stop(self) -> None:
        self._stopping = True
        self._inbox.put(None)

    def restart(self) -> None:
        """Ends with a code that tells the supervisor to start it again."""
        log.warning("restart was asked for")
        self._exit_code = EXIT_RESTART
        self.stop()

    def refresh_config(self, done: Callable[[bool], None]) -> None:
        self.link.refresh_config(done)

    def _turn(self) -> None:
        try:
            item = self._inbox.get(timeout=0.5)
        except queue.Empty:
            item = None
        acknowledged: list[int] = []
        for _ in range(MAX_INBOX):
            if isinstance(item, _Published):
                acknowledged.append(item.number)
            elif item is not None:
                self._handle(item)
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                break
        if acknowledged:
            self.uplink.acknowledged(acknowledged)
        self._housekeeping()

    def _handle(self, item: _DeviceMessage | _LateCommands) -> None:
        identity = self._identity
        if identity is None:
            return
        status = identity.topics.device("status")
        if isinstance(item, _LateCommands):
            self._device_desk.handle_late(identity.device_id, status, item.commands)
        else:
            self._device_desk.handle(identity.device_id, status, item.payload, retained=item.retained)

    def _housekeeping(self) -> None:
        if self._is_due("watchdog", 1.0):
            self._watch_threads()
        if self._is_due("store", STORE_RETRY_S):
            self._mend_store()
        identity = self._identity
        if identity is not None and self._is_due("telemetry", identity.telemetry_interval):
            self.uplink.record("device_health", {**self.health(), "counters": self.counters.snapshot()})
            self.uplink.batch(identity.topics.device("telemetry"))
        if self._is_due("states", STATES_EVERY_S):
            self._tell_all()
        if self._is_due("prune", HOUR_S):
            self._prune()

    def _is_due(self, what: str, every_s: float) -> bool:
        now = self._clock.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + every_s
        return True

    def _watch_threads(self) -> None:
        """Tell the watchdog that all is well. A thread that died ends the process, so that it starts anew."""
        now = self._clock.monotonic()
        with self._lock:
            dead = [name for name, bus in self._buses.items() if not bus.alive]
            hung = [name for name, bus in self._buses.items() if now - bus.beat_at > BUS_HANGS_AFTER_S]
        if not self.link.alive:
            dead.append("cloud link")
        if dead:
            log.critical("a thread has died: %s", ", ".join(dead))
            self._exit_code = EXIT_BROKEN
            self.stop()
        elif hung:
            log.error("no sign of life from %s: the watchdog is not told", ", ".join(hung))
        else:
            self._alive("connected" if self.uplink.online else "not connected")

    def _mend_store(self) -> None:
        if not self._store.healthy and self._store.reopen():
            log.warning("the store works again")
        if not self._swept:
            self._sweep()
        if self._store.recreated != self._recreated:
            # A new journal has seen nothing: commands of this connection might fire twice. On a new one they are void.
            self._recreated = self._store.recreated
            self.link.connection_lost("the journal was recreated")

    def _sweep(self) -> None:
        """Settle what an earlier run left open; once, before this run accepts anything."""
        try:
            tell_unfinished(self._store, self.server_clock.stamp)
            self._swept = True
        except StoreError as error:
            log.warning("earlier commands can't be looked at: %s", error)

    def _prune(self) -> None:
        try:
            self._store.prune()
        except StoreError as error:
            log.debug("journal not pruned: %s", error)

    def _shut_down(self) -> None:
        with self._lock:
            buses = list(self._buses.values())
        for bus in buses:
            bus.stop()
        self.link.stop()
        self._store.close()

    # Called by the network thread: only enqueues

    def on_message(self, topic: str, payload: bytes, retained: bool) -> None:
        received_at = self._clock.monotonic()
        try:
            parsed = parse_topic(topic)
        except ContractError:
            self.counters.add("mqtt_malformed")
            return
        if parsed.kind == "carts":
            bus = self._bus_of.get(parsed.id)
            if bus is None:
                self.counters.add("mqtt_unknown_cart")
            else:
                bus.submit(Inbound(parsed, payload, retained, received_at))
        elif self._inbox.qsize() < MAX_INBOX:
            self._inbox.put(_DeviceMessage(payload, retained))
        else:
            self.counters.add("commands_overflow")

    def on_published(self, message: int) -> None:
        self._inbox.put(_Published(message))

    def on_lost(self, why: str) -> None:
        # At once: from here on no command of the lost connection may fire.
        self.session.close()
        self.link.connection_lost(why)

    # Called by the cloud thread

    def connected(self, connection: BrokerConnection) -> None:
        self.uplink.attach(connection)
        self._tell_all()

    def _tell_all(self) -> None:
        with self._lock:
            for bus in self._buses.values():
                bus.tell_all()

    def disconnected(self) -> None:
        self.uplink.detach()

    def late_commands(self, identity: Identity, commands: Any) -> None:
        self._inbox.put(_LateCommands(commands))

    def health(self) -> dict[str, Any]:
        try:
            depth = self._store.depth()
        except StoreError:
            depth = 0
        return {
            "uptime_s": int(self._clock.monotonic() - self._started_at),
            "outbox_depth": depth,
            "load_1m": host.load_1m(),
            "cpu_c": host.cpu_celsius(),
            "disk_free_mb": host.disk_free_mb(Path(self._settings.state_dir)),
        }

    def apply_site(self, identity: Identity, site: Site) -> None:
        """Serve `site`: running buses stay when the hardware is the same, else they finish and new ones start."""
        same = self._identity is not None and self._identity.topics == identity.topics
        self._identity = identity
        if same and site.same_hardware(self._site):
            self._site = site
            return
        with self._lock:
            old, self._buses, self._bus_of = self._buses, {}, {}
        for bus in old.values():
            bus.stop()
        buses = self._make_buses(identity.topics, site)
        with self._lock:
            self._site = site
            for bus in buses.values():
                bus.start()
            self._buses = buses
            self._bus_of = {cart_id: bus for bus in buses.values() for unit in bus.units for cart_id in unit.lockers}
        log.info("serving %d carts on %d lines (configuration %d)", len(self._bus_of), len(buses), site.version)

    def _make_buses(self, topics: Topics, site: Site) -> dict[str, Bus]:
        by_port: dict[str, list[Controller]] = defaultdict(list)
        for controller in site.controllers:
            by_port[controller.port].append(controller)
        desk = CartDesk(
            self.session,
            self._store,
            self._store,
            self.uplink,
            topics=topics,
            clock=self._clock,
            stamp=self.server_clock.stamp,
            counters=self.counters,
        )
        return {port: self._make_bus(port, tuple(controllers), site, desk) for port, controllers in by_port.items()}

    def _make_bus(self, port: str, controllers: tuple[Controller, ...], site: Site, desk: CartDesk) -> Bus:
        if len({controller.baudrate for controller in controllers}) > 1:
            log.warning("%s: boards of different speeds on one line; using %d", port, controllers[0].baudrate)
        units = [
            Unit(
                controller.id,
                controller.board(),
                {cart.id: cart.locker_id for cart in site.carts if cart.controller_id == controller.id},
            )
            for controller in controllers
        ]
        timing = Timing(
            poll_interval=self._settings.poll_interval,
            evidence_timeout=self._settings.evidence_timeout,
            byte_time=10 / controllers[0].baudrate,
        )
        return Bus(
            port,
            lambda: self._open_line(controllers),
            units,
            desk,
            clock=self._clock,
            counters=self.counters,
            timing=timing,
        )

    # What the LAN API shows

    def status_page(self) -> dict[str, Any]:
        identity = self._identity
        with self._lock:
            boards = {
                str(unit.controller_id): "silent" if unit.silent else "answering"
                for bus in self._buses.values()
                for unit in bus.units
            }
        return {
            "firmware_version": __version__,
            "device_id": str(identity.device_id) if identity else None,
            "mqtt": "connected" if self.uplink.online else "disconnected",
            "server_clock": "known" if self.server_clock.now() else "unknown",
            "store": "working" if self._store.healthy else "failing",
            "config_version": self._site.version,
            "boards": boards,
            **self.health(),
        }

    def occupancy_page(self) -> dict[str, Any]:
        with self._lock:
            told = {
                cart_id: tracker.told
                for bus in self._buses.values()
                for unit in bus.units
                for cart_id, tracker in unit.trackers.items()
            }
        states = [state for state in told.values() if state is not None]
        return {
            "carts": len(told),
            "locked": sum(state.lock is LockState.LOCKED for state in states),
            "unlocked": sum(state.lock is LockState.UNLOCKED for state in states),
            "present": sum(state.present is True for state in states),
            "unknown": len(told) - sum(state.lock is not LockState.UNKNOWN for state in states),
        }

    def stats_page(self) -> dict[str, Any]:
        return {"counters": self.counters.snapshot(), "store_dropped": self._store.dropped}
