"""The server's clock: learned, stale, jumped."""

from datetime import UTC, datetime, timedelta

import pytest

from pi_client.backoff import Backoff
from pi_client.cart_state import CartState, CartTracker
from pi_client.clock import ServerClock
from pi_client.contract import LockState

from .rig import FakeClock

SERVER = datetime(2030, 6, 1, tzinfo=UTC)
OPEN = CartState(LockState.UNLOCKED, True)
SHUT = CartState(LockState.LOCKED, True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_stamps_keep_their_order_when_a_better_sample_sets_the_clock_back(clock: FakeClock) -> None:
    server = ServerClock(clock)
    sent = clock.monotonic()
    clock.advance(2)
    server.learn(SERVER + timedelta(seconds=2), sent=sent, received=clock.monotonic())
    before = server.stamp()
    server.learn(SERVER + timedelta(seconds=2), sent=clock.monotonic(), received=clock.monotonic())

    after = server.stamp()

    assert server.now() == SERVER + timedelta(seconds=2) < before < after


def test_stamps_follow_the_server_when_the_system_clock_was_days_ahead(clock: FakeClock) -> None:
    server = ServerClock(clock)
    clock.date = SERVER + timedelta(days=2)
    server.stamp()
    server.learn(SERVER, sent=clock.monotonic(), received=clock.monotonic())

    assert server.stamp() == SERVER


def test_server_clock_is_unknown_at_first(clock: FakeClock) -> None:
    assert ServerClock(clock).now() is None


@pytest.mark.parametrize(("there", "back"), [(0.1, 0.1), (0.0, 4.5), (4.5, 0.0)])
def test_server_clock_is_never_behind_the_servers_and_runs_on(clock: FakeClock, there: float, back: float) -> None:
    server = ServerClock(clock)
    sent = clock.monotonic()
    clock.advance(there + back)
    server.learn(SERVER, sent=sent, received=clock.monotonic())
    clock.advance(10)

    known = server.now()

    assert known is not None
    assert SERVER + timedelta(seconds=back + 10) <= known <= SERVER + timedelta(seconds=there + back + 10)


def test_server_clock_does_not_believe_a_long_round_trip(clock: FakeClock) -> None:
    server = ServerClock(clock)

    assert not server.learn(SERVER, sent=clock.monotonic() - 6, received=clock.monotonic())
    assert server.now() is None


def test_server_clock_goes_stale(clock: FakeClock) -> None:
    server = ServerClock(clock)
    server.learn(SERVER, sent=clock.monotonic(), received=clock.monotonic())
    clock.advance(599)
    assert server.now() is not None
    clock.advance(2)

    assert server.now() is None


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1), timedelta(seconds=3)])
def test_server_clock_is_unknown_after_the_system_clock_jumped(clock: FakeClock, jump: timedelta) -> None:
    server = ServerClock(clock)
    server.learn(SERVER, sent=clock.monotonic(), received=clock.monotonic())
    clock.date += jump

    assert server.now() is None
    server.learn(SERVER, sent=clock.monotonic(), received=clock.monotonic())
    assert server.now() == SERVER


@pytest.mark.parametrize("word", [None, "soon", "2026-01-01T00:00:00", 7])
def test_answer_without_a_usable_time_teaches_nothing(clock: FakeClock, word: object) -> None:
    server = ServerClock(clock)

    assert server.ask(lambda: {"server_time": word}) == {"server_time": word}
    assert server.now() is None


def test_backoff_grows_to_its_cap_and_starts_over() -> None:
    backoff = Backoff(first_s=1, longest_s=10, uniform=lambda _low, high: high)

    assert [backoff.next() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert backoff.next(30) == 30
    backoff.reset()
    assert backoff.next() == 1


def test_tracker_tells_a_change_only_when_two_readings_apart_agree() -> None:
    tracker = CartTracker(told=SHUT)

    told = [
        tracker.observe(state, at) for state, at in [(OPEN, 0), (SHUT, 0.1), (OPEN, 0.2), (OPEN, 0.21), (OPEN, 0.3)]
    ]

    assert told == [False, False, False, False, True]
    assert not tracker.observe(OPEN, 0.4)
