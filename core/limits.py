"""Rate limits in Redis: fixed windows, counted atomically, shared by every process."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _
from redis import Redis
from redis.exceptions import RedisError

from core.errors import TooMany, Unavailable

_redis: Redis = Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)

# Counts every key or none: a request refused by one limit does not eat from the others.
_TAKE = _redis.register_script(
    """
    local longest = -1
    for i = 1, #KEYS do
        if tonumber(redis.call('GET', KEYS[i]) or '0') >= tonumber(ARGV[2 * i - 1]) then
            longest = math.max(longest, redis.call('TTL', KEYS[i]), 1)
        end
    end
    if longest >= 0 then return longest end
    for i = 1, #KEYS do
        if redis.call('INCR', KEYS[i]) == 1 then redis.call('EXPIRE', KEYS[i], ARGV[2 * i]) end
    end
    return -1
    """
)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` times within `window`, for whatever `key` names."""

    key: str
    most: int
    window: timedelta


def take(limits: Sequence[Limit], *, fail_closed: bool) -> None:
    """Count one use against all limits, or raise `TooMany` with the seconds to wait and count nothing.

    Without Redis: `Unavailable` when `fail_closed` (codes and sign-in, which cost money or guard doors), else pass.
    """
    keys = [_key(limit) for limit in limits]
    arguments = [value for limit in limits for value in (limit.most, int(limit.window.total_seconds()))]
    try:
        wait = int(_TAKE(keys=keys, args=arguments))
    except RedisError as error:
        if fail_closed:
            raise Unavailable(_("Please try again in a minute.")) from error
        return
    if wait >= 0:
        raise TooMany(_("Please wait a little before you try again."), retry_after=wait)


def wait_of(limit: Limit) -> int:
    """Seconds until this limit lets somebody through again; 0 while it does, and without Redis. Counts nothing."""
    try:
        used, left = _redis.get(_key(limit)), _redis.ttl(_key(limit))
    except RedisError:
        return 0
    return max(left, 1) if int(used or 0) >= limit.most else 0


def _key(limit: Limit) -> str:
    return f"{settings.REDIS_KEY_PREFIX}:limit:{_nameless(limit.key)}"


def _nameless(key: str) -> str:
    """`otp-send:number:` and a keyed hash: what is counted is told; whose phone or address it is can't be guessed."""
    *kind, who = key.split(":", 2)
    return ":".join([*kind, salted_hmac("core.limits", who, algorithm="sha256").hexdigest()])
