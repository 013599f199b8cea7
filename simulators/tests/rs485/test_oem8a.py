"""Golden frames of the 8A board, over the running pty."""

import pytest

from simulators.tests.simulator import Bench


def test_unlock_is_answered_with_the_open_state(bench: Bench) -> None:
    assert bench.host.ask("8A 01 01 11 9B", 5) == "8A 01 01 00 8A"


def test_a_failed_unlock_is_answered_by_its_own_bytes(bench: Bench) -> None:
    bench.move(1, 1, "jam")
    assert bench.host.ask("8A 01 01 11 9B", 5) == "8A 01 01 11 9B"


def test_unlock_all_fires_every_lock(bench: Bench) -> None:
    since = bench.last_event()
    assert bench.host.ask("8A 01 00 11 9A", 5) == "8A 01 00 00 8B"
    assert [event["lock"] for event in bench.events("unlock_fired", since)] == list(range(1, 25))


def test_unlock_with_a_pulse_of_seconds_is_understood(bench: Bench) -> None:
    assert bench.host.ask("8A 01 02 11 05 9D", 5) == "8A 01 02 00 89"


@pytest.mark.parametrize(
    ("query", "answer"), [("80 01 01 33 B3", "80 01 01 11 91"), ("82 01 00 22 A1", "82 01 01 22 A0")]
)
def test_queries_are_answered(bench: Bench, query: str, answer: str) -> None:
    assert bench.host.ask(query, 5) == answer


def test_state_of_all_locks_counts_from_the_first_byte(bench: Bench) -> None:
    assert bench.host.ask("80 01 00 33 B2", 7) == "80 01 FF FF FF 33 4D"
    bench.host.ask("8A 01 02 11 98", 5)
    assert bench.host.ask("80 01 00 33 B2", 7) == "80 01 FD FF FF 33 4F"


def test_state_of_all_open_locks_is_the_published_frame(bench: Bench) -> None:
    bench.host.ask("8A 01 00 11 9A", 5)
    assert bench.host.ask("80 01 00 33 B2", 7) == "80 01 00 00 00 33 B2"


def test_state_of_a_reversed_board_counts_from_the_last_byte(bench: Bench) -> None:
    bench.hear("8A 02 02 11 9B")
    assert bench.host.ask("80 02 00 33 B1", 7) == "80 02 FF FF FD 33 4C"


def test_batch_unlock_fires_the_chosen_locks_without_an_answer(bench: Bench) -> None:
    since = bench.last_event()
    assert bench.hear("90 01 02 02 02 93") == ""
    assert [event["lock"] for event in bench.events("unlock_fired", since)] == [2, 10, 18]


def test_a_held_lock_does_not_latch_until_let_go(bench: Bench) -> None:
    assert bench.host.ask("9A 01 03 11 89", 5) == "9A 01 03 00 98"
    assert bench.move(1, 3, "push").json()["hook"] == "open"
    bench.host.ask("9B 01 03 11 88", 5)
    assert bench.move(1, 3, "push").json()["hook"] == "closed"


def test_a_board_that_reports_speaks_unasked_when_a_hook_moves(bench: Bench) -> None:
    bench.host.send("8A 02 01 11 98")
    said = bench.host.read(10)
    assert {said[:14], said[15:]} == {"82 02 01 00 81", "8A 02 01 00 89"}
    bench.move(2, 1, "push")
    assert bench.host.read(5) == "82 02 01 11 90"
