"""How often anybody may ask: every request counts against whoever asks and against their address.

Who asks falls into a tier (anonymous, customer, manager, staff, device, program), what they ask for into a class
(sign-in, write, read, device, socket). `settings.RATE_LIMITS[tier][class]` is the number of requests a minute; those of
the tier `address` are for all who share one. Health checks and files are not counted.

`settings.RATE_TIER` says who comes with a session. Over REST a signed token says it itself, verified without a query:
a device's, or a person's with the tier they had when it was issued, whatever they have lost since; all tokens of one
are counted together, and with that one's sessions. One that is forged or past its time counts for nobody. Whether a
personal token is one only the database knows: each counts as a program of its own, and whoever invents them meets the
limit of the address. Websockets count by address alone: whose they are costs queries, which come after the count.

One script in Redis decides and counts, in one round trip: the generic cell rate algorithm (ITU-T I.371), which keeps
one number a key and gives back evenly what it took. A refused request takes nothing.

Without Redis a sign-in is refused, because guessing would be free; reading and writing go on, because somebody stands
in front of a cart, and what costs money or guards doors has limits of its own that fail closed (`core.limits`).

Answers tell the limits as draft-ietf-httpapi-ratelimit-headers-11 says, with `t` the seconds until the quota is whole.
"""

import asyncio
import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _
from redis import Redis
from redis.exceptions import RedisError

from core.addresses import client_address, network_of
from core.errors import DomainError, TooMany, Unavailable
from core.origins import SAFE
from core.sockets import Application, deny, request_of
from core.tokens import TokenError, read_any, verified_once
from core.views import refuse

GetResponse = Callable[[HttpRequest], HttpResponse]

WINDOW_S = 60
ADDRESS = "address"
UNCOUNTED = ("/healthz", settings.STATIC_URL)
# Writing there is trying to get in. Leaving and shutting others out is not, and must work without Redis too.
SIGN_IN = re.compile(r"/auth/(?!sign-out|leave$|sessions/|tokens/[^/]+/revoke$)|/api/auth/(?!logout|tokens/)")
# Its GET is where a sign-in ends.
SIGN_IN_BY_GET = re.compile(r"/auth/google/callback")
OF_DEVICES = re.compile(r"/api/devices/(register|([^/]+/)?(heartbeat|token))$")
# What a token may say of its bearer, by its kind; the first where it says nothing. No right hangs on it.
TIERS_OF = {"person": ("customer", "manager", "staff"), "device": ("device",)}
RETRY_WITHOUT_REDIS_S = 10

# A hung Redis must not hold up every request for long.
_redis: Redis = Redis.from_url(settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5)

# KEYS: one per rate. ARGV: its most and its window in ms. What is kept is when the quota will be whole again, in ms.
# Answers the wait in ms (-1: passed), then for each rate how many are left and in how many ms it is whole.
_METER = _redis.register_script(
    """
    local clock = redis.call('TIME')
    local now = clock[1] * 1000 + clock[2] / 1000
    local wait, whole, step, left = -1, {}, {}, {}
    for i = 1, #KEYS do
        local window = tonumber(ARGV[2 * i])
        step[i] = window / tonumber(ARGV[2 * i - 1])
        whole[i] = math.max(now, tonumber(redis.call('GET', KEYS[i]) or now))
        left[i] = (window - (whole[i] - now)) / step[i] + 0.001
        if left[i] < 1 then wait = math.max(wait, (1 - left[i]) * step[i], 0) end
    end
    local answer = {math.ceil(wait)}
    for i = 1, #KEYS do
        if wait < 0 then
            whole[i], left[i] = whole[i] + step[i], left[i] - 1
            redis.call('SET', KEYS[i], string.format('%.4f', whole[i]), 'PX', math.ceil(whole[i] - now) + 1)
        end
        answer[2 * i], answer[2 * i + 1] = math.max(math.floor(left[i]), 0), math.ceil(whole[i] - now)
    end
    return answer
    """
)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `most` requests in `window_s` seconds by whoever `key` names; clients are told of it by `name`."""

    name: str
    key: str
    most: int
    window_s: int = WINDOW_S


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a client stands with a rate after this request; `whole_in_s` seconds until nothing is used up."""

    rate: Rate
    left: int
    whole_in_s: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`wait_s` is None for a request that passed."""

    wait_s: int | None
    standings: tuple[Standing, ...]


def meter(rates: Sequence[Rate]) -> Verdict:
    """Count one request against all rates, or none of them if one is used up. One round trip. Raises `RedisError`."""
    keys = [f"{settings.REDIS_KEY_PREFIX}:rate:{rate.key}" for rate in rates]
    wait, *rest = _METER(keys=keys, args=[value for rate in rates for value in (rate.most, rate.window_s * 1000)])
    standings = tuple(
        Standing(rate, int(left), math.ceil(int(whole) / 1000))
        for rate, left, whole in zip(rates, rest[::2], rest[1::2], strict=True)
    )
    return Verdict(max(1, math.ceil(int(wait) / 1000)) if int(wait) >= 0 else None, standings)


def class_of(request: HttpRequest) -> str:
    """Which class of request it is; "" for what is not counted."""
    path, reads = request.path, request.method in SAFE
    if path.startswith(UNCOUNTED):
        return ""
    if (SIGN_IN_BY_GET if reads else SIGN_IN).match(path):
        return "sign-in"
    if OF_DEVICES.match(path):
        return "device"
    return "read" if reads else "write"


def rates_of(request: HttpRequest, kind: str) -> list[Rate]:
    """What a request of a class counts against. Costs what `RATE_TIER` does."""
    network = network_of(client_address(request))
    tier, who = import_string(settings.RATE_TIER)(request)
    # A header that somebody signed in writes beside their session makes no one else of them.
    if not who and request.path.startswith("/api/") and (token := _bearer_token(request)):
        tier, who = _tier_of_token(token)
    limits = settings.RATE_LIMITS
    most = limits[tier].get(kind) or limits["anonymous"][kind]
    return [
        Rate(f"{tier}-{kind}", f"{kind}:{tier}:{who or network}", most),
        Rate(f"{ADDRESS}-{kind}", f"{kind}:{ADDRESS}:{network}", limits[ADDRESS][kind]),
    ]


def _bearer_token(request: HttpRequest) -> str:
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _tier_of_token(token: str) -> tuple[str, str]:
    """Tier and who is counted by a bearer token; "" for nobody. No query."""
    if "." not in token:  # no JWT: a personal token, or made up
        return "program", hashlib.sha256(token.encode()).hexdigest()[:32]
    try:
        kind, claims = read_any(token)
    except TokenError:
        return "anonymous", ""
    tiers = TIERS_OF.get(kind)
    if tiers is None:
        return "anonymous", ""
    said = claims.get("tier")
    return said if said in tiers else tiers[0], claims["sub"]


class RatesMiddleware:
    """Counts each request and refuses those above a limit. After authentication, before what costs anything."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        kind = class_of(request)
        if not kind:
            return self.get_response(request)
        with verified_once():
            return self._answer(request, kind)

    def _answer(self, request: HttpRequest, kind: str) -> HttpResponse:
        try:
            verdict = meter(rates_of(request, kind))
        except RedisError:
            if kind == "sign-in":
                return refuse(
                    request,
                    Unavailable(
                        _("Nothing was changed. Please try again in a minute."), retry_after=RETRY_WITHOUT_REDIS_S
                    ),
                )
            return self.get_response(request)
        response = refuse(request, _too_many(verdict.wait_s)) if verdict.wait_s else self.get_response(request)
        for name, value in header_fields(verdict.standings).items():
            response[name] = value
        return response


def _too_many(wait_s: int) -> DomainError:
    return TooMany(_("Nothing was changed. Please wait a little before you try again."), retry_after=wait_s)


def header_fields(standings: Sequence[Standing]) -> dict[str, str]:
    """The two fields of the draft: what the limits are, and where this client stands."""
    return {
        "RateLimit-Policy": ", ".join(
            f'"{each.rate.name}";q={each.rate.most};w={each.rate.window_s}' for each in standings
        ),
        "RateLimit": ", ".join(f'"{each.rate.name}";r={each.left};t={each.whole_in_s}' for each in standings),
    }


class RatedSockets:
    """ASGI middleware: so many websockets a minute may be opened from one address. Fails open, as reading does."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        network = network_of(client_address(request_of(scope)))
        rate = Rate("address-socket", f"socket:{ADDRESS}:{network}", settings.RATE_LIMITS[ADDRESS]["socket"])
        try:
            verdict = await asyncio.to_thread(meter, [rate])
        except RedisError:
            verdict = Verdict(None, ())
        if verdict.wait_s is None:
            await self.application(scope, receive, send)
        else:
            await deny(scope, receive, send, status=429, retry_after=verdict.wait_s)
