"""The team's keys: rotated, kept while the team is away, and not asked for more often than is good for anybody."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache

from core.errors import Unavailable
from core.tests.fixtures import lose_counters
from core.tests.race import race
from tenants import cloudflare_keys
from tenants.cloudflare import AccessRefused, user_of_assertion
from tenants.models import User
from tenants.tests.access_team import Team, client_with, forge, restart
from tenants.tests.api import problem
from tenants.tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return make_user(email="alice@example.com")


def let_in(token: str) -> bool:
    try:
        user_of_assertion(token)
    except AccessRefused:
        return False
    return True


def from_now(ago: timedelta) -> None:
    """The kept keys were fetched so long ago, here and in Redis."""
    for team, keys in list(cloudflare_keys._held.items()):
        older = cloudflare_keys._Keys(time.time() - ago.total_seconds(), keys.by_id, keys.written)
        cloudflare_keys._held[team] = older
        cloudflare_keys._to_redis(team, older)


@contextmanager
def without_limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as bug:
        bug.setattr(cloudflare_keys, "take", lambda *_, **__: None)
        yield


def test_keys_are_fetched_once_for_all(team: Team, alice: User) -> None:
    for key in ("current", "previous", "current"):
        assert let_in(team.mint(key=key, email=alice.email))

    assert team.fetches() == 1


def test_restart_asks_redis_and_not_the_team(team: Team, alice: User) -> None:
    token = team.mint(email=alice.email)
    let_in(token)

    restart()

    assert (let_in(token), team.fetches()) == (True, 1)


def test_what_somebody_else_wrote_into_redis_is_no_key(team: Team, alice: User) -> None:
    """Keys are signed there: whoever reaches Redis could otherwise sign in as anybody."""
    cache.set(cloudflare_keys._name(team.url), {"at": time.time(), "keys": team.published()})
    team.misbehave("http_500")

    with pytest.raises(Unavailable):
        user_of_assertion(team.mint(email=alice.email))


def test_rotated_key_is_found_and_the_previous_one_goes_on(team: Team, alice: User) -> None:
    before = team.mint(email=alice.email)
    assert let_in(before)

    team.rotate()
    after = team.mint(email=alice.email)

    assert (let_in(after), let_in(before), team.fetches()) == (True, True, 2)


def test_key_that_was_rotated_out_is_refused_within_the_hour(team: Team, alice: User) -> None:
    token = team.mint(email=alice.email)
    let_in(token)
    team.rotate()
    team.rotate()

    from_now(timedelta(minutes=59))
    still = let_in(token)
    from_now(timedelta(minutes=61))

    assert (still, let_in(token)) == (True, False)


@pytest.mark.parametrize("kind", ["http_500", "html", "huge", "no_keys", "reset", "slow"])
def test_old_keys_serve_while_the_team_can_not_be_asked(
    team: Team, alice: User, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    token = team.mint(email=alice.email)
    let_in(token)
    from_now(timedelta(hours=2))
    monkeypatch.setattr(cloudflare_keys, "TIMEOUT_S", 0.2)

    team.misbehave(kind, seconds=10)
    began = time.monotonic()
    during = client_with(token).get("/api/auth/me").status_code
    unknown = let_in(team.mint(email=alice.email, headers={"kid": "x"}))
    took = time.monotonic() - began
    team.behave()

    assert (during, unknown, let_in(token)) == (200, False, True)
    assert took < 3


@pytest.mark.parametrize("kind", ["http_500", "html", "huge", "no_keys", "reset"])
def test_without_any_key_nobody_gets_in_and_nothing_breaks(team: Team, alice: User, kind: str) -> None:
    team.misbehave(kind)

    problem(client_with(team.mint(email=alice.email)).get("/api/branches"), 503)


def test_old_keys_do_not_serve_for_ever(team: Team, alice: User) -> None:
    token = team.mint(email=alice.email)
    let_in(token)
    team.misbehave("http_500")

    from_now(timedelta(days=8))

    with pytest.raises(Unavailable):
        user_of_assertion(token)


def flood(team: Team, count: int = 40) -> int:
    """How many of so many invented key ids made us ask the team."""
    before = team.fetches()
    rest = team.mint().partition(".")[2]
    for _ in range(count):
        assert not let_in(f"{_header(uuid4().hex)}.{rest}")
    return team.fetches() - before


def _header(key_id: str) -> str:
    text = json.dumps({"alg": "RS256", "kid": key_id}).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def test_flood_of_invented_keys_asks_the_team_a_few_times(team: Team, alice: User) -> None:
    assert let_in(team.mint(email=alice.email))

    assert flood(team) == cloudflare_keys.FETCHES.most - 1
    assert let_in(team.mint(email=alice.email))


def test_flood_of_invented_keys_asks_the_team_a_few_times_control(
    team: Team, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the limit each of them is a request."""
    assert let_in(team.mint(email=alice.email))

    with without_limit(monkeypatch):
        assert flood(team) == 40


def test_flood_is_counted_across_processes(team: Team) -> None:
    asked = 0
    for _ in range(4):
        restart()
        asked += flood(team, 10)

    assert asked == cloudflare_keys.FETCHES.most


def test_other_algorithm_asks_for_no_key(team: Team) -> None:
    answers = [let_in(forge({"alg": alg, "kid": "x"}, {}, b"x")) for alg in ("none", "HS256", "ES256", "RS512")]

    assert (answers, team.fetches()) == ([False] * 4, 0)


def test_many_first_requests_at_once_ask_once(team: Team, alice: User) -> None:
    token = team.mint(email="nobody@example.com")

    answers = race(lambda: let_in(token), times=8)

    assert (answers, team.fetches()) == ([False] * 8, 1)


def test_invented_key_waits_for_no_answer_of_the_team(team: Team, alice: User) -> None:
    let_in(team.mint(email=alice.email))
    invented = team.mint(email=alice.email, headers={"kid": "x"})
    answers: list[bool] = []
    asking = Thread(target=lambda: answers.append(let_in(invented)))

    with cloudflare_keys._fetching:  # somebody asks, and the team hangs
        asking.start()
        asking.join(5)
        answered = list(answers)
    asking.join()

    assert answered == [False]


def test_without_redis_kept_keys_serve_and_nothing_is_asked(
    team: Team, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = team.mint(email=alice.email)
    let_in(token)
    lose_counters(monkeypatch)

    assert let_in(token)
    assert not let_in(team.mint(email=alice.email, headers={"kid": "x"}))
    assert team.fetches() == 1


def unusable(keys: list[dict[str, Any]]) -> list[Any]:
    good = keys[0]
    return [
        {"keys": [{**good, "kty": "oct", "k": "c2VjcmV0"}]},
        {"keys": [{**good, "alg": "HS256"}]},
        {"keys": [{**good, "use": "enc"}]},
        {"keys": [{**good, "kid": 7}]},
        {"keys": [{**good, "n": "AQAB"}]},
        {"keys": [{**good, "n": "!"}]},
        {"keys": [{**good, "e": None}]},
        {"keys": ["x", None, 1]},
        {"keys": {}},
        {"public_cert": {"kid": good["kid"], "cert": "x"}},
        [],
        None,
    ]


def test_what_is_no_rs256_key_is_left_out(team: Team) -> None:
    published = team.published()
    for document in unusable(published):
        with pytest.raises(ValueError):
            cloudflare_keys._parse(document, time.time())

    mixed = {"keys": [{**published[0], "alg": "HS256"}, published[1]]}
    assert set(cloudflare_keys._parse(mixed, time.time()).by_id) == {published[1]["kid"]}
