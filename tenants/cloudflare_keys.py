"""The public keys of a Cloudflare Access team, by key id.

They come from `<team>/cdn-cgi/access/certs` (two keys; a new one every six weeks, the previous good for seven days
more) and are kept for an hour in each process and in Redis, so that a restart of all processes asks once. An unknown id
makes for one look; how many looks there are in a minute is limited across processes, because anybody can invent ids.
While the team can't be asked the kept keys stay good, for as long as Cloudflare keeps a previous one.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.conf import settings
from django.core import signing
from django.core.cache import cache
from jwt import InvalidKeyError
from jwt.algorithms import RSAAlgorithm
from redis.exceptions import RedisError

from core.errors import DomainError, Unavailable
from core.limits import Limit, take

FRESH = timedelta(hours=1)
STALE = timedelta(days=7)
FETCHES = Limit("cloudflare-certs", 5, timedelta(minutes=1))
TIMEOUT_S = 3.0
MOST_BYTES = 64 * 1024
MOST_KEYS = 10
SHORTEST_KEY_BITS = 2048
_SALT = "tenants.cloudflare"  # signed: whoever can write to Redis must not become everybody

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Keys:
    """What the team published at `fetched_at` (seconds since the epoch), as read and as written."""

    fetched_at: float
    by_id: Mapping[str, RSAPublicKey]
    written: list[dict[str, Any]]

    def younger_than(self, age: timedelta) -> bool:
        return time.time() - self.fetched_at < age.total_seconds()


_held: dict[str, _Keys] = {}  # by team
_fetching = Lock()


def key_of(key_id: str) -> RSAPublicKey | None:
    """The team's key of that id, or None when it has none. Raises `Unavailable` while no key is known at all.

    May ask the team, for at most `TIMEOUT_S`.
    """
    team = settings.CF_ACCESS_TEAM_URL
    held = _held.get(team)
    if not _answers(held, key_id):
        held = _remember(team, _newest(held, _from_redis(team)))
    if not _answers(held, key_id):
        held = _ask_in_turn(team, key_id, held)
    if held is None or not held.younger_than(STALE):
        raise Unavailable
    return held.by_id.get(key_id)


def _answers(held: _Keys | None, key_id: str) -> bool:
    return held is not None and key_id in held.by_id and held.younger_than(FRESH)


def _ask_in_turn(team: str, key_id: str, held: _Keys | None) -> _Keys | None:
    """One thread asks; others wait for it only while nothing is held.

    Anybody can invent an id: if it were waited for, a team that hangs would hold every thread of the web.
    """
    if not _fetching.acquire(blocking=held is None):
        return held
    try:
        now = _held.get(team)
        if now is not held:  # another thread was faster
            return now
        take([FETCHES], fail_closed=True)
        return _remember(team, _newest(held, _fetch(team)))
    except DomainError:
        return held
    finally:
        _fetching.release()


def _remember(team: str, keys: _Keys | None) -> _Keys | None:
    if keys is not None:
        _held[team] = keys
    return keys


def _newest(*found: _Keys | None) -> _Keys | None:
    return max((each for each in found if each), key=lambda each: each.fetched_at, default=None)


def _fetch(team: str) -> _Keys | None:
    deadline = time.monotonic() + TIMEOUT_S
    # Counted as sent: a small body could unpack into a huge one.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    body = b""
    try:
        with httpx.stream("GET", f"{team}/cdn-cgi/access/certs", headers=headers, timeout=TIMEOUT_S) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"HTTP {response.status_code}")
            for part in response.iter_raw():
                body += part
                if len(body) > MOST_BYTES or time.monotonic() > deadline:
                    raise ValueError("too much, or too slow")
        keys = _parse(json.loads(body), time.time())
    except (httpx.HTTPError, ValueError, RecursionError) as error:
        logger.warning(
            "keys of Cloudflare Access can't be fetched", extra={"reason": f"{type(error).__name__} {error}"}
        )
        return None
    _to_redis(team, keys)
    return keys


def _parse(document: object, fetched_at: float) -> _Keys:
    """Keys that sign with RS256; others are left out. Raises `ValueError` when none is left."""
    published = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(published, list):
        raise ValueError("no list of keys")
    by_id, written = {}, []
    for each in published[:MOST_KEYS]:
        if isinstance(each, dict) and (key := _rs256_key(each)):
            by_id[each["kid"]] = key
            written.append({name: each[name] for name in ("kid", "kty", "n", "e")})
    if not by_id:
        raise ValueError("no key that can be used")
    return _Keys(fetched_at, by_id, written)


def _rs256_key(published: dict[str, Any]) -> RSAPublicKey | None:
    if not isinstance(published.get("kid"), str) or published.get("kty") != "RSA":
        return None
    if published.get("alg", "RS256") != "RS256" or published.get("use", "sig") != "sig":
        return None
    try:
        key = RSAAlgorithm.from_jwk(published)
    except (InvalidKeyError, ValueError, TypeError, AttributeError):
        return None
    return key if isinstance(key, RSAPublicKey) and key.key_size >= SHORTEST_KEY_BITS else None


def _to_redis(team: str, keys: _Keys) -> None:
    text = signing.dumps({"at": keys.fetched_at, "keys": keys.written}, salt=f"{_SALT}:{team}")
    try:
        cache.set(_name(team), text, timeout=STALE.total_seconds())
    except RedisError:
        pass  # each process then asks for itself


def _from_redis(team: str) -> _Keys | None:
    try:
        kept = signing.loads(cache.get(_name(team), ""), salt=f"{_SALT}:{team}")
        return _parse({"keys": kept["keys"]}, kept["at"])
    except (RedisError, signing.BadSignature, KeyError, TypeError, ValueError):
        return None


def _name(team: str) -> str:
    return f"cloudflare-certs:{team}"
