"""The wire: how long it takes, who speaks when, and what outlives a host."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.tests.simulator import Bench, Host, run_bus, wait_for

GET_STATE = "02 00 30 03 35"
GOOD = "02 00 35 FF FF FF FF 03 36"
BYTE_S = 10 / 19200


@pytest.fixture
def paced(bench: Bench) -> Bench:
    bench.http.post("/wire-time", json={"mode": "real"}).raise_for_status()
    return bench


@pytest.fixture(scope="module")
def slow_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with run_bus(tmp_path_factory.mktemp("slow"), "--baud", "9600", "--board", "8a:1", "--auto-pull", "20") as bench:
        yield bench


def test_state_query_takes_its_wire_time_and_the_boards_delay(paced: Bench) -> None:
    began = time.monotonic()
    assert paced.host.ask(GET_STATE, 9) == GOOD
    assert time.monotonic() - began >= 14 * BYTE_S + 0.002


def test_control_without_pacing_the_same_query_beats_the_wire(bench: Bench) -> None:
    def ask() -> float:
        began = time.monotonic()
        bench.host.ask(GET_STATE, 9)
        return time.monotonic() - began

    assert min(ask() for _ in range(20)) < 14 * BYTE_S


def test_nothing_of_an_answer_comes_before_the_wire_allows(paced: Bench) -> None:
    began = time.monotonic()
    paced.host.send(GET_STATE)
    paced.host.read(1)
    assert time.monotonic() - began >= 6 * BYTE_S + 0.002
    paced.host.read(8)


def test_unlock_fires_after_its_wire_time_and_the_hook_after_the_latch(paced: Bench) -> None:
    since = paced.last_event()
    began = time.monotonic()
    paced.host.send("02 04 31 03 3A")
    [opened] = wait_for(lambda: paced.events("hook_opened", since), "the hook")
    [fired] = paced.events("unlock_fired", since)
    assert fired["monotonic"] - began >= 5 * BYTE_S
    assert opened["monotonic"] - began >= 5 * BYTE_S + 0.008
    assert opened["firing"] == fired["firing"]


def test_bytes_one_at_a_time_take_no_less(paced: Bench) -> None:
    paced.fault("one_byte_at_a_time", board=0)
    began = time.monotonic()
    assert paced.host.ask(GET_STATE, 9) == GOOD
    assert time.monotonic() - began >= 14 * BYTE_S


def test_answers_of_all_boards_take_turns(paced: Bench) -> None:
    began = time.monotonic()
    answer = paced.host.ask("02 F0 32 03 27", 27)
    assert answer.count("36 FF FF FF FF 03") == 3
    assert time.monotonic() - began >= 32 * BYTE_S


def test_at_half_the_baud_it_takes_twice_as_long(slow_bench: Bench) -> None:
    began = time.monotonic()
    assert slow_bench.host.ask("80 01 00 33 B2", 7) == "80 01 FF FF FF 33 4D"
    assert time.monotonic() - began >= 12 * 10 / 9600


def test_the_simulated_customer_takes_the_cart_by_himself_when_told_to(slow_bench: Bench) -> None:
    slow_bench.host.ask("8A 01 04 11 9E", 5)
    wait_for(lambda: not slow_bench.lock(1, 4)["present"], "the cart to go")
    assert slow_bench.lock(1, 4)["hook"] == "open"


def test_a_host_speaking_over_an_answer_spoils_both(paced: Bench) -> None:
    assert paced.host.ask("02 F0 32 03 27", 9) == "02 00 36 FF FF FF FF 03 37"
    # The second board's answer is on the wire for the next 4.7 ms, the third's for 4.7 more.
    paced.host.send("02 04 31 03 3A")
    answer = paced.host.read_until_silence()
    assert answer != "02 30 36 FF FF FF FF 03 67 02 50 36 FF FF FF FF 03 87"
    assert paced.events()[-1]["event"] == "collision"
    assert paced.lock(0, 4)["hook"] == "closed"


def test_the_bus_outlives_a_host_that_goes_and_comes_back(bench: Bench) -> None:
    bench.host.close()
    for _ in range(3):
        host = Host(bench.link)
        assert host.ask(GET_STATE, 9) == GOOD
        host.close()
    bench.host = Host(bench.link)
    assert bench.host.ask(GET_STATE, 9) == GOOD


def test_a_host_that_never_reads_does_not_stop_the_bus(bench: Bench) -> None:
    for _ in range(2000):
        bench.host.send(GET_STATE)
    wait_for(
        lambda: bench.http.get("/state").json()["counters"].get("host_bytes", 0) >= 10_000, "the queries to be heard"
    )
    bench.host.read_until_silence()
    assert bench.host.ask(GET_STATE, 9) == GOOD


def test_a_host_far_ahead_of_the_wire_loses_bytes_and_not_the_bus(tmp_path: Path) -> None:
    with run_bus(tmp_path, "--baud", "9600") as bench:
        for _ in range(20):
            bench.host.send("00" * 1000)
        counters = wait_for(
            lambda: (found := bench.http.get("/state").json()["counters"]).get("host_bytes") == 20_000 and found,
            "the flood to be read",
        )
        assert counters["host_overrun_bytes"] >= 15_000


def test_a_second_bus_takes_over_the_link_and_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    link = tmp_path / "old" / "bus"
    with run_bus(tmp_path / "new", "--wire-time", "zero") as newer:
        with run_bus(tmp_path / "old", "--wire-time", "zero"):
            taken = link.readlink()
            partial = tmp_path / "swap"
            partial.symlink_to(Path(newer.link).readlink())
            partial.replace(link)
            assert link.readlink() != taken
        assert link.is_symlink()
