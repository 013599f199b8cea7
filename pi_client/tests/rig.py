"""A whole device without network or wires: real store, session, desks and bus; a recording broker; boards in memory."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from pi_client.adapters.simulated import SimulatedBoard, SimulatedLine
from pi_client.adapters.sqlite_store import SqliteStore
from pi_client.adapters.system_clock import SystemClock
from pi_client.bus import Bus, Timing, Unit
from pi_client.cart_commands import CartDesk, Inbound, tell_unfinished
from pi_client.clock import ServerClock
from pi_client.codec import CU16, LockBoard
from pi_client.contract import Command, CommandType, Result, decode, encode, parse_topic
from pi_client.counters import Counters
from pi_client.ports import SerialLine
from pi_client.session import Session
from pi_client.site import Topics
from pi_client.uplink import Uplink

DEVICE_ID = UUID(int=0xD)
TOPICS = Topics("demo", "BRANCH-001", DEVICE_ID)
QUICK = Timing(
    reply_timeout=0.02, evidence_timeout=0.15, poll_interval=0.02, busy_pause=0.01, reopen_interval=0.0, byte_time=0.0
)


class FakeClock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.date = datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> datetime:
        return self.date

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.date += timedelta(seconds=seconds)


@dataclass
class RecordingConnection:
    """A broker that takes everything; PUBACKs are given by the test."""

    published: list[tuple[str, bytes]] = field(default_factory=list)
    up: bool = True

    def publish(self, topic: str, payload: bytes) -> int | None:
        if not self.up:
            return None
        self.published.append((topic, payload))
        return len(self.published)

    def subscribe(self, filters: list[str]) -> list[str]:
        return []

    def unsubscribe(self, filters: list[str]) -> None: ...

    def close(self) -> None:
        self.up = False

    def results(self, command_id: UUID | None = None) -> list[Result]:
        """Results in the order published; those of `command_id` when given."""
        found = [decode(Result, payload) for topic, payload in self.published if topic.endswith("/status")]
        return [result for result in found if command_id is None or result.command_id == command_id]

    def answers(self, command_id: UUID) -> list[tuple[str, str | None]]:
        return [(str(result.outcome), result.reason and str(result.reason)) for result in self.results(command_id)]

    def states(self) -> list[Result]:
        return [result for result in self.results() if result.command_id is None]

    def events(self) -> list[dict[str, object]]:
        batches = [json.loads(payload) for topic, payload in self.published if topic.endswith("/telemetry")]
        return [event for batch in batches for event in batch["events"]]


class Rig:
    """One start of the daemon's core. Make a second one on the same directory to play a restart."""

    def __init__(
        self,
        directory: Path,
        *,
        line: Callable[[], SerialLine] | None = None,
        boards: list[SimulatedBoard] | None = None,
        codecs: list[LockBoard] | None = None,
        lockers: int = 3,
        connection_id: UUID | None = None,
        make_store: Callable[[Path], SqliteStore] = SqliteStore,
        timing: Timing = QUICK,
    ) -> None:
        self.clock = SystemClock()
        self.server_clock = ServerClock(self.clock)
        self.sync_clock()
        self.counters = Counters()
        self.store = make_store(directory / "journal.sqlite3")
        self.session = Session(self.store, self.server_clock.now)
        self.connection_id = connection_id or uuid4()
        self.session.open(self.connection_id)
        self.connection = RecordingConnection()
        self.uplink = Uplink(self.store, self.server_clock.stamp, self.counters)
        self.auto_acknowledge = True
        self.acknowledged = 0
        self.recovered = tell_unfinished(self.store, self.server_clock.stamp) if self.store.healthy else 0
        self.uplink.attach(self.connection)
        self.desk = CartDesk(
            self.session,
            self.store,
            self.store,
            self.uplink,
            topics=TOPICS,
            clock=self.clock,
            stamp=self.server_clock.stamp,
            counters=self.counters,
        )
        self.boards = boards or [SimulatedBoard()]
        codecs = codecs or [CU16(board.address, board.hook_closed_bit) for board in self.boards]
        self.carts = {
            (codec.address, codec.first_locker + number): UUID(int=codec.address << 8 | number + 1)
            for codec in codecs
            for number in range(lockers)
        }
        units = [
            Unit(
                uuid4(),
                codec,
                {cart: locker for (address, locker), cart in self.carts.items() if address == codec.address},
            )
            for codec in codecs
        ]
        open_line = line or (lambda: SimulatedLine(self.boards, self.clock))
        self.bus = Bus("test", open_line, units, self.desk, clock=self.clock, counters=self.counters, timing=timing)
        self.cart = next(iter(self.carts.values()))

    def sync_clock(self, offset: timedelta = timedelta()) -> None:
        now = self.clock.monotonic()
        self.server_clock.learn(datetime.now(UTC) + offset, sent=now, received=now)

    def command(self, kind: CommandType = CommandType.UNLOCK, **changes: object) -> Command:
        now = self.server_clock.stamp()
        values = {
            "message_id": uuid4(),
            "sent_at": now,
            "command_id": uuid4(),
            "type": kind,
            "connection_id": self.connection_id,
            "issued_at": now,
            "expires_at": now + timedelta(seconds=5),
        }
        return Command(**{**values, **changes})  # type: ignore[arg-type]

    def deliver(
        self, command: Command | bytes, *, cart: UUID | None = None, leaf: str = "unlock", retained: bool = False
    ) -> None:
        payload = command if isinstance(command, bytes) else encode(command)
        topic = parse_topic(TOPICS.cart(cart or self.cart, leaf))
        self.bus.submit(Inbound(topic, payload, retained, self.clock.monotonic()))

    def run_until(self, condition: Callable[[], bool], deadline_s: float = 3.0) -> None:
        """Turn the bus on this thread until `condition` holds; fails after the deadline."""
        end = self.clock.monotonic() + deadline_s
        while not condition():
            assert self.clock.monotonic() < end, "condition not reached"
            self.bus.turn()
            self.acknowledge()

    def acknowledge(self) -> None:
        """Give the PUBACKs the broker owes, as the main loop would pass them on."""
        if self.auto_acknowledge:
            fresh = range(self.acknowledged + 1, len(self.connection.published) + 1)
            self.acknowledged = fresh.stop - 1
            self.uplink.acknowledged(fresh)

    def run_to_answer(self, command: Command, deadline_s: float = 3.0) -> list[tuple[str, str | None]]:
        """Turn the bus until `command` has its last word; all its answers."""
        self.run_until(
            lambda: any(word != "acked" for word, _ in self.connection.answers(command.command_id)), deadline_s
        )
        return self.connection.answers(command.command_id)

    def close(self) -> None:
        self.store.close()


@contextmanager
def rig(directory: Path, **options: object) -> Iterator[Rig]:
    started = Rig(directory, **options)  # type: ignore[arg-type]
    try:
        yield started
    finally:
        started.close()
