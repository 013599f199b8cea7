"""A long random walk over the session: whatever comes in whatever order, no command fires twice, late or uninvited."""

import os
import random
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from pi_client.contract import Command, CommandType, Outcome, Reason
from pi_client.ports import Entry
from pi_client.session import Accepted, Refused, Repeated, Session

from .rig import Rig

START = datetime(2026, 1, 1, tzinfo=UTC)
CART = UUID(int=1)


class MemoryJournal:
    """Implements ports.Journal without a disk."""

    def __init__(self) -> None:
        self.entries: dict[UUID, Entry] = {}
        self.cancelled: set[UUID] = set()

    def find(self, command_id: UUID) -> Entry | None:
        return self.entries.get(command_id)

    def accept(self, command_id: UUID, *, target_id: UUID, topic: str, numbered: bool) -> int | None:
        self.entries[command_id] = Entry(command_id, target_id, topic, 1, None, None)
        return 1

    def finish(self, command_id: UUID, *, outcome: Outcome, topic: str, payload: bytes, copies: int = 1) -> None:
        self.entries[command_id] = Entry(command_id, CART, topic, 1, outcome, payload)

    def cancel(self, command_id: UUID) -> None:
        self.cancelled.add(command_id)

    def is_cancelled(self, command_id: UUID) -> bool:
        return command_id in self.cancelled

    def unfinished(self) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.outcome is None]


class Walk:
    """The world of one walk and its model: which commands have fired, and what must never have."""

    def __init__(self, seed: int, session_class: type[Session] = Session) -> None:
        self.rng = random.Random(seed)
        self.now: datetime | None = START
        self.true_now = START
        self.journal = MemoryJournal()
        self.session_class = session_class
        self.session = session_class(self.journal, lambda: self.now)
        self.connection = uuid4()
        self.session.open(self.connection)
        self.commands: list[Command] = []
        self.accepted: list[Command] = []
        self.cancelled: set[UUID] = set()
        self.fired: list[UUID] = []
        self.violations: list[str] = []

    def step(self) -> None:
        moves = [self.send, self.send, self.send_again, self.fire, self.fire, self.cancel, self.reconnect]
        self.rng.choice([*moves, self.lose_clock, self.wait, self.restart, self.answer])()

    def send(self) -> None:
        lifetime = timedelta(seconds=self.rng.choice((-5, 1, 5, 60)))
        command = Command(
            message_id=uuid4(),
            sent_at=self.true_now,
            command_id=uuid4(),
            type=CommandType.UNLOCK,
            connection_id=self.rng.choice((self.connection, self.connection, uuid4())),
            issued_at=self.true_now,
            expires_at=self.true_now + lifetime,
        )
        self.commands.append(command)
        self._receive(command, retained=self.rng.random() < 0.1)

    def send_again(self) -> None:
        if self.commands:
            self._receive(self.rng.choice(self.commands[-20:]), retained=False)

    def _receive(self, command: Command, *, retained: bool) -> None:
        decision = self.session.receive(command, retained=retained, target_id=CART, topic="t", numbered=True)
        if isinstance(decision, Accepted):
            if retained:
                self.violations.append("accepted a retained command")
            self.accepted.append(command)
        elif isinstance(decision, Refused) and decision.reason is not Reason.RETAINED:
            self.journal.finish(command.command_id, outcome=Outcome.REFUSED, topic="t", payload=b"refused")

    def fire(self) -> None:
        if not self.accepted:
            return
        command = self.accepted.pop(self.rng.randrange(len(self.accepted)))
        reason = self.session.clear_to_fire(command)
        if reason is not None:
            self.journal.finish(command.command_id, outcome=Outcome.REFUSED, topic="t", payload=b"refused")
            return
        if command.command_id in self.fired:
            self.violations.append("fired twice")
        if self.true_now >= command.expires_at:
            self.violations.append("fired late")
        if command.connection_id != self.connection:
            self.violations.append("fired for another connection")
        if command.command_id in self.cancelled:
            self.violations.append("fired though cancelled")
        if self.now is None:
            self.violations.append("fired without a clock")
        self.fired.append(command.command_id)

    def answer(self) -> None:
        for command_id in self.fired[-3:]:
            self.journal.finish(command_id, outcome=Outcome.DONE, topic="t", payload=b"done")

    def cancel(self) -> None:
        command_id = self.rng.choice(self.commands[-10:]).command_id if self.commands else uuid4()
        if self.session.cancel(command_id):
            if command_id in self.fired:
                self.violations.append("cancelled after firing")
            self.cancelled.add(command_id)

    def reconnect(self) -> None:
        if self.rng.random() < 0.3:
            self.session.close()
            self.connection = uuid4()
            self.session.open(self.connection)

    def lose_clock(self) -> None:
        self.now = None if self.now is not None and self.rng.random() < 0.3 else self.true_now

    def wait(self) -> None:
        self.true_now += timedelta(seconds=self.rng.choice((0.5, 2, 10)))
        if self.now is not None:
            self.now = self.true_now

    def restart(self) -> None:
        """The process dies: what was accepted and not answered is unknown, and so are its queues."""
        if self.rng.random() < 0.2:
            self.accepted.clear()
            for entry in self.journal.unfinished():
                self.journal.finish(entry.command_id, outcome=Outcome.UNKNOWN, topic="t", payload=b"unknown")
            self.session = self.session_class(self.journal, lambda: self.now)
            self.session.open(self.connection)


def _walk(session_class: type[Session] = Session, steps: int = 20_000) -> tuple[int, Walk]:
    seed = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"seed {seed} (repeat with SEED={seed})")  # noqa: T201
    walk = Walk(seed, session_class)
    for _ in range(steps):
        walk.step()
    return seed, walk


def test_random_walk_never_fires_twice_late_or_uninvited() -> None:
    seed, walk = _walk()

    assert walk.violations == [], f"seed {seed}"
    assert len(walk.fired) > 500, f"seed {seed}: the walk did not walk"


class WithoutDedupe(Session):
    """Seeded bug: never looks whether it has seen a command."""

    def receive(self, command: Command, **options: object) -> Accepted | Refused | Repeated:  # type: ignore[override]
        self._journal.entries.pop(command.command_id, None)  # type: ignore[attr-defined]
        return super().receive(command, **options)  # type: ignore[arg-type]


class WithoutLastLook(Session):
    """Seeded bug: what was fine when it came is taken to be fine when it fires."""

    def clear_to_fire(self, command: Command, *, late: bool = False) -> Reason | None:
        return None


@pytest.mark.parametrize(
    ("buggy", "found"), [(WithoutDedupe, {"fired twice"}), (WithoutLastLook, {"fired late", "fired though cancelled"})]
)
def test_random_walk_finds_the_seeded_bug(buggy: type[Session], found: set[str]) -> None:
    seed, walk = _walk(buggy)

    assert found <= set(walk.violations), f"seed {seed}"


def test_command_before_the_clock_is_known_is_refused() -> None:
    session = Session(MemoryJournal(), lambda: None)
    connection = uuid4()
    session.open(connection)
    command = Command(
        message_id=uuid4(),
        sent_at=START,
        command_id=uuid4(),
        type=CommandType.UNLOCK,
        connection_id=connection,
        issued_at=START,
        expires_at=START + timedelta(days=1),
    )

    decision = session.receive(command, retained=False, target_id=CART, topic="t", numbered=True)

    assert decision == Refused(Reason.CLOCK_UNKNOWN)


def test_cancel_racing_with_firing_wins_or_loses_but_never_both(tmp_path: Path) -> None:
    device = Rig(tmp_path)
    both = 0
    for _ in range(50):
        command = device.command()
        device.session.receive(command, retained=False, target_id=CART, topic="t", numbered=True)
        barrier = threading.Barrier(2)
        stopped: list[bool] = []

        def cancel(command: Command = command, barrier: threading.Barrier = barrier, to: list[bool] = stopped) -> None:
            barrier.wait(5)
            to.append(device.session.cancel(command.command_id))

        thread = threading.Thread(target=cancel)
        thread.start()
        barrier.wait(5)
        fired = device.session.clear_to_fire(command) is None
        thread.join(5)
        both += fired and stopped[0]
        assert fired or stopped[0]
    device.close()
    assert both == 0
