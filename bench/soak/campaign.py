"""One chapter: a shop, its Pis, the cloud and the wire between them, from one seed. A campaign is many chapters."""

import logging
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

from .breaks import BREAKS
from .cloud import Cloud
from .estate import Estate, build_estate
from .faults import Fault
from .oracle import Oracle
from .people import People
from .pi import Pi
from .quiet import quiet
from .wire import Wire
from .world import World

TAPS_PER_S = 3.0
CHECK_EVERY_S = 20.0
# Far more often than the daemon, so that reports meet commands under way.
STATES_EVERY_S = 10.0
# Longer than any message is held, plus all sweeps.
DRAIN_S = 240.0


@dataclass
class Chapter:
    """What came of one chapter; `trace` tells of a violation, oldest event first."""

    seed: int
    number: int
    unlocks: int = 0
    virtual_s: float = 0.0
    struck: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)
    rule: str = ""
    detail: str = ""
    trace: list[str] = field(default_factory=list)


def run_chapter(
    seed: int,
    number: int,
    unlocks: int,
    *,
    broken: str = "",
    ignoring: Collection[str] = (),
    progress: Callable[[int], None] = lambda unlocks: None,
    folder: Path | None = None,
) -> Chapter:
    """At least `unlocks` unlocks unless a rule breaks first. Needs Django and a database of its own; empties it.

    `broken` names a seeded bug, `ignoring` rules that do not count. `progress` is told how many unlocks were judged
    since it was told last. The Pis' disks are in a folder of their own in `folder`, or where temporary
    files are.
    """
    with ExitStack() as stack:
        world = World(f"{seed}/{number}")
        stack.enter_context(_same_ids_each_time(world.random.getrandbits(64)))
        stack.enter_context(quiet(logging.CRITICAL))  # both sides log every fault
        if broken:
            stack.enter_context(BREAKS[broken]())
        disks = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="disks-", dir=folder)))
        estate = build_estate(f"soak-{uuid.uuid4().hex[:8]}")
        stage = _Stage(world, estate, disks, ignoring)
        stack.enter_context(stage.cloud.tied())
        stage.play(unlocks, progress)
        return stage.report(seed, number)


class _Stage:
    """Everybody of a chapter, introduced to each other."""

    def __init__(self, world: World, estate: Estate, folder: Path, ignoring: Collection[str]) -> None:
        self.world = world
        self.estate = estate
        self.oracle = Oracle(world, estate.routes, ignoring)
        self.wire = Wire(world, self.oracle, estate.routes)
        self.cloud = Cloud(world, self.wire, self.oracle)
        self.people = People(world, self.cloud, self.oracle, estate.customers, estate.stations)
        self.pis = [
            Pi(world, self.wire, self.oracle, place, folder / f"{place.device_id}.sqlite3", self.cloud.heartbeat)
            for place in estate.places
        ]
        self.unlocks = 0
        for pi in self.pis:
            pi.opened = self.people.opened

    def play(self, unlocks: int, progress: Callable[[int], None]) -> None:
        world = self.world
        for pi in self.pis:
            pi.start()
            world.every(STATES_EVERY_S, pi.tell_states)
        world.every(1.0, self.cloud.tick)
        world.every(1.0, self.people.look_around)
        world.every(1.0, self._each_second)
        world.every(5.0, self.cloud.sweep_often)
        world.every(15.0, self.cloud.sweep_seldom)
        world.run(5.0)
        world.every(1.0 / TAPS_PER_S, lambda: self.people.tap() if self.people.unlocks < unlocks else None)
        while self.people.unlocks < unlocks and not world.stopped:
            world.run(world.now + CHECK_EVERY_S)
            self._check(progress)
        world.calm = True
        for _ in range(int(DRAIN_S / CHECK_EVERY_S)):
            world.run(world.now + CHECK_EVERY_S)
            self._check(progress)
        if not world.stopped:
            progress(self._judge(everything=True))
            self.oracle.check_end(self.estate.cart_ids)
        for pi in self.pis:
            pi.store.close()

    def _each_second(self) -> None:
        world = self.world
        self.wire.cut_any()
        self.wire.replay()
        if world.strikes(Fault.BROKER_RESTART):
            self.wire.restart_broker()
        for pi in self.pis:
            pi.beat_if_due()
            self._trouble(pi)

    def _trouble(self, pi: Pi) -> None:
        world = self.world
        if not pi.on:
            return
        if world.strikes(Fault.PI_KILLED):
            pi.die()
        elif world.strikes(Fault.OFFLINE):
            pi.lose_connection()
        elif world.strikes(Fault.CLOCK_JUMPS):
            pi.clock.wrong_by += world.between(-4, 4) * 86_400
        elif world.strikes(Fault.PRUNED):
            pi.alive(pi.prune)

    def _check(self, progress: Callable[[int], None]) -> None:
        if not self.world.stopped:
            progress(self._judge())
            self.oracle.check_now(self.estate.cart_ids)

    def _judge(self, *, everything: bool = False) -> int:
        judged = self.oracle.check_settled(everything=everything)
        self.unlocks += judged
        return judged

    def report(self, seed: int, number: int) -> Chapter:
        world, violation = self.world, self.oracle.violation
        chapter = Chapter(seed, number, self.unlocks, world.now, world.struck, world.outcomes, self.oracle.totals)
        if violation is not None:
            chapter.rule, chapter.detail = violation.rule, violation.detail
            chapter.trace = world.story_of(*violation.about)
        return chapter


@contextmanager
def _same_ids_each_time(seed: int) -> Iterator[None]:
    """Random ids decide ties, so they come from the seed too."""
    random = Random(seed)
    with patch.object(uuid, "os", SimpleNamespace(urandom=random.randbytes)):
        yield
