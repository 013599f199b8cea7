"""A short campaign of faulted unlocks, and the seeded bugs that show it can fail."""

import random

import pytest

from bench.soak.__main__ import BUGS
from bench.soak.breaks import BREAKS
from bench.soak.campaign import run_chapter

ANSWERS = "one command, one answer"
pytestmark = pytest.mark.django_db(transaction=True)


def test_faulted_unlocks_fire_once_and_in_time() -> None:
    seed = random.randrange(10**6)

    chapter = run_chapter(seed, 0, 200)

    assert chapter.rule == "", f"seed {seed}: {chapter.rule}: {chapter.detail}\n" + "\n".join(chapter.trace)
    assert chapter.unlocks >= 200
    assert chapter.totals["firings"] > 60
    assert (chapter.totals["double firings"], chapter.totals["late openings"]) == (0, 0)


CAUGHT_AS = {
    "journal": "the journal is written before the relay fires",
    "expiry": "nothing fires past its expiry",
    "connection": "nothing fires on another connection",
    "claim": "one bridge at a time publishes a command",
    "lock": "one open rental per cart",
    "dedupe": "a command fires at most once",
    "retained": "a retained message fires nothing",
    "clock": "nothing fires past its expiry",
    "evidence": "`opened` is said only on evidence",
    "states": "a rental ends only when its cart is back",
    "foreign": "a command ends by its own device's word",
}


def test_every_seeded_bug_can_be_chosen_by_name() -> None:
    assert set(BUGS) == set(BREAKS) == set(CAUGHT_AS)


@pytest.mark.parametrize("bug", BREAKS)
def test_seeded_bug_is_caught(bug: str) -> None:
    seed = random.randrange(10**6)

    # Each bug shows in several ways; here it must show as what it is.
    chapter = run_chapter(seed, 0, 3000, broken=bug, ignoring={ANSWERS} if bug == "dedupe" else ())

    assert chapter.rule == CAUGHT_AS[bug], f"seed {seed}: {chapter.detail}"
