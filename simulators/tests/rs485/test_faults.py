"""Each misbehaviour, as the host meets it."""

import time

import pytest

from simulators.tests.simulator import Bench, wait_for

GET_STATE = "02 00 30 03 35"
GOOD = "02 00 35 FF FF FF FF 03 36"
UNLOCK_4 = "02 04 31 03 3A"
OPEN_4 = "02 00 35 EF FF FF FF 03 26"


@pytest.mark.parametrize(
    ("kind", "spoilt"),
    [
        ("no_reply", ""),
        ("dead", ""),
        ("bad_sum", "02 00 35 FF FF FF FF 03 C9"),
        ("wrong_address", "02 10 35 FF FF FF FF 03 46"),
        ("echo", f"{GET_STATE} {GOOD}"),
        ("flipped", "02 00 35 00 00 FF FF 03 38"),
        ("same_address", "02 00 00 35 FF FF FF 03 02 36"),
        ("one_byte_at_a_time", GOOD),
    ],
)
def test_fault_strikes_once_and_then_the_board_is_well(bench: Bench, kind: str, spoilt: str) -> None:
    bench.fault(kind, board=0)
    assert bench.hear(GET_STATE) == spoilt
    assert bench.hear(GET_STATE) == GOOD


def test_truncated_answer_is_a_true_beginning(bench: Bench) -> None:
    bench.fault("truncated", board=0)
    answer = bench.hear(GET_STATE)
    assert answer
    assert len(answer) < len(GOOD)
    assert GOOD.startswith(answer)


def test_garbage_comes_before_the_answer(bench: Bench) -> None:
    bench.fault("garbage", board=0)
    answer = bench.hear(GET_STATE)
    assert answer.endswith(GOOD)
    assert set(answer.removesuffix(GOOD).split()) <= {"00", "FF"}
    assert answer != GOOD


def test_late_answer_comes_in_the_next_transaction_and_is_stale(bench: Bench) -> None:
    bench.fault("late", board=0)
    assert bench.hear(GET_STATE) == ""
    assert bench.hear(UNLOCK_4) == GOOD
    assert bench.hear(GET_STATE) == OPEN_4


def test_echo_of_an_unlock_looks_like_an_answer(bench: Bench) -> None:
    bench.fault("echo", board=0)
    assert bench.hear(UNLOCK_4) == UNLOCK_4


def test_stuck_hook_fires_and_stays_closed(bench: Bench) -> None:
    since = bench.last_event()
    bench.fault("stuck_hook", board=0, lock=4)
    bench.host.send(UNLOCK_4)
    assert bench.hear(GET_STATE) == GOOD
    assert len(bench.events("unlock_fired", since)) == 1
    assert bench.events("hook_opened", since) == []


def test_stuck_sensor_reads_closed_while_the_cart_can_be_taken(bench: Bench) -> None:
    bench.fault("stuck_sensor", board=0, lock=4)
    bench.host.send(UNLOCK_4)
    assert bench.hear(GET_STATE) == GOOD
    assert bench.move(0, 4, "pull").status_code == 200
    assert bench.move(0, 4, "free").json()["reads"] == "open"


def test_busy_board_is_deaf_until_nudged_a_tenth_of_a_second_later(bench: Bench) -> None:
    bench.fault("busy", board=0)
    began = time.monotonic()
    bench.host.send(UNLOCK_4)
    assert bench.hear(GET_STATE) == ""

    wait_for(lambda: time.monotonic() - began > 0.11, "the board's time")
    assert bench.hear("02 00 38 03 3D") == ""

    assert bench.hear(GET_STATE) == OPEN_4


def test_fault_of_one_lock_spares_the_others(bench: Bench) -> None:
    bench.fault("stuck_hook", board=0, lock=5)
    bench.host.send(UNLOCK_4)
    assert bench.hear(GET_STATE) == OPEN_4


def test_answer_fault_of_one_lock_strikes_the_query_after_its_unlock(bench: Bench) -> None:
    bench.fault("no_reply", board=0, lock=4)
    assert bench.hear(GET_STATE) == GOOD
    bench.host.send(UNLOCK_4)
    assert bench.hear(GET_STATE) == ""
    assert bench.hear(GET_STATE) == OPEN_4


def test_fault_strikes_as_often_as_asked(bench: Bench) -> None:
    bench.fault("no_reply", board=0, times=3)
    assert [bench.hear(GET_STATE) == "" for _ in range(4)] == [True, True, True, False]


def test_fault_without_end_lasts_until_cleared(bench: Bench) -> None:
    bench.fault("dead", board=0, times=None)
    assert [bench.hear(GET_STATE) for _ in range(3)] == ["", "", ""]
    bench.http.delete("/faults")
    assert bench.hear(GET_STATE) == GOOD


def test_fault_with_a_probability_strikes_some_of_the_time(bench: Bench) -> None:
    bench.fault("bad_sum", board=0, times=None, probability=0.5)
    answers = [bench.host.ask(GET_STATE, 9) for _ in range(60)]
    assert 10 < answers.count(GOOD) < 50
