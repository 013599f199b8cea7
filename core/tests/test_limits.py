from datetime import timedelta

import pytest
from redis import Redis

from core import limits
from core.errors import TooMany, Unavailable
from core.limits import Limit, take, wait_of
from core.tests.fixtures import DEAD_ADDRESS, count_in_two_steps, lose_counters
from core.tests.race import race, wait_for

HOUR = timedelta(hours=1)


def taken(*wanted: Limit) -> bool:
    try:
        take(wanted, fail_closed=True)
    except TooMany:
        return False
    return True


def test_limit_allows_as_many_as_it_says() -> None:
    assert [taken(Limit("a", 3, HOUR)) for _ in range(5)] == [True, True, True, False, False]


def test_refusal_says_how_long_to_wait() -> None:
    taken(Limit("a", 1, HOUR))

    with pytest.raises(TooMany) as caught:
        take([Limit("a", 1, HOUR)], fail_closed=True)

    assert caught.value.retry_after is not None
    assert 3590 <= caught.value.retry_after <= 3600


def test_wait_of_a_limit_is_told_once_it_is_full_and_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = Limit("a", 2, HOUR)

    before = [(wait_of(limit), taken(limit)) for _ in range(2)]

    assert before == [(0, True)] * 2
    assert 3590 <= wait_of(limit) <= 3600
    monkeypatch.setattr(limits, "_redis", Redis.from_url(f"redis://{DEAD_ADDRESS}", socket_connect_timeout=1))
    assert wait_of(limit) == 0


def test_refusal_names_the_longest_wait() -> None:
    both = [Limit("short", 1, timedelta(seconds=10)), Limit("long", 1, HOUR)]
    take(both, fail_closed=True)

    with pytest.raises(TooMany) as caught:
        take(both, fail_closed=True)

    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 10


def test_window_begins_with_the_first_use_and_ends() -> None:
    second = Limit("a", 1, timedelta(seconds=1))
    assert taken(second)

    wait_for(lambda: taken(second), "the window to end")

    assert not taken(second)


def test_keys_are_counted_apart() -> None:
    assert [taken(Limit("a", 1, HOUR)), taken(Limit("b", 1, HOUR))] == [True, True]


def test_refused_request_eats_from_no_limit() -> None:
    narrow, wide = Limit("narrow", 1, HOUR), Limit("wide", 2, HOUR)
    assert taken(wide, narrow)

    assert not taken(wide, narrow)

    assert taken(wide)


def pass_together() -> int:
    return sum(outcome is True for outcome in race(lambda: taken(Limit("a", 10, HOUR)), times=30))


@pytest.mark.django_db
def test_many_at_once_pass_no_more_than_allowed() -> None:
    assert pass_together() == 10


@pytest.mark.django_db
def test_many_at_once_pass_no_more_than_allowed_control(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking first and counting afterwards lets everybody through."""
    count_in_two_steps(monkeypatch, redis_url, parties=30)

    assert pass_together() == 30


@pytest.fixture
def _redis_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    lose_counters(monkeypatch)


@pytest.mark.usefixtures("_redis_is_down")
def test_without_redis_what_guards_doors_and_money_is_refused() -> None:
    with pytest.raises(Unavailable):
        take([Limit("a", 1, HOUR)], fail_closed=True)


@pytest.mark.usefixtures("_redis_is_down")
def test_without_redis_the_rest_goes_on() -> None:
    take([Limit("a", 1, HOUR)], fail_closed=False)
