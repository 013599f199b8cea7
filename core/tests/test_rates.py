"""How often anybody may ask: by tier, by class, by address, exactly, and with and without Redis."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from core import rates
from core.rates import Rate, RatedSockets, class_of, header_fields, meter, rates_of
from core.tests.fixtures import DEAD_ADDRESS
from core.tests.race import race
from devices.tests.factories import make_device, make_device_token
from tenants.models import User
from tenants.requester import ACTING_AS, acting_entry
from tenants.services import create_personal_token, user_of_personal_token
from tenants.tests.api import client_of, problem
from tenants.tests.factories import People
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db
FIELD = re.compile(r'"([a-z-]+)";r=(\d+);t=(\d+)')


def browser(user: User | None = None, **kwargs: Any) -> Client:
    client = Client(**kwargs)
    if user:
        sign_in(client, user)
    return client


def left(response: Any) -> dict[str, int]:
    """How many requests the answer says are left, by the name of the limit."""
    return {name: int(number) for name, number, _ in FIELD.findall(response["RateLimit"])}


def statuses(client: Client, path: str, times: int) -> list[int]:
    return [client.get(path).status_code for _ in range(times)]


# --- who and what -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/healthz", ""),
        ("GET", "/static/core/app.css", ""),
        ("GET", "/control/", "read"),
        ("POST", "/s/abcdefgh/unlock", "write"),
        ("GET", "/auth/sign-in", "read"),
        ("POST", "/auth/sign-in", "sign-in"),
        ("POST", "/auth/2fa/give", "sign-in"),
        ("POST", "/api/auth/otp/verify", "sign-in"),
        ("POST", "/auth/sign-out", "write"),
        ("POST", "/auth/leave", "write"),
        ("POST", "/auth/tokens/0f8fad5b-d9cb-469f-a165-70867728950e/revoke", "write"),
        ("DELETE", "/api/auth/tokens/0f8fad5b-d9cb-469f-a165-70867728950e", "write"),
        ("POST", "/api/auth/tokens", "sign-in"),
        ("POST", "/api/auth/logout", "write"),
        ("GET", "/auth/google/callback", "sign-in"),
        ("POST", "/api/devices/register", "device"),
        ("POST", "/api/devices/heartbeat", "device"),
        ("POST", "/api/devices/0f8fad5b-d9cb-469f-a165-70867728950e/heartbeat", "device"),
        ("PUT", "/api/devices/0f8fad5b-d9cb-469f-a165-70867728950e/firmware", "write"),
        ("GET", "/api/chains", "read"),
        ("DELETE", "/api/chains/x", "write"),
    ],
)
def test_class_of_a_request(method: str, path: str, kind: str) -> None:
    assert class_of(RequestFactory().generic(method, path)) == kind


def test_each_tier_has_limits_of_its_own(people: People, limit: Callable[..., None]) -> None:
    machine = make_device_token(device=make_device(branch=people.branch))
    tiers = {
        "anonymous": (browser(), "/auth/sign-in"),
        "customer": (browser(people.dora), "/me/"),
        "manager": (browser(people.alice), "/control/"),
        "staff": (browser(people.erin), "/control/"),
        "device": (Client(headers={"Authorization": f"Bearer {machine}"}), "/api/chains"),
        "program": (Client(headers={"Authorization": "Bearer cwp_whose-it-is-nobody-asked"}), "/api/chains"),
    }
    limit(**{tier: {"read": 10 + number} for number, tier in enumerate(tiers)})

    told = {tier: left(client.get(path)) for tier, (client, path) in tiers.items()}

    assert {tier: told[tier][f"{tier}-read"] for tier in tiers} == {
        tier: 9 + number for number, tier in enumerate(tiers)
    }


def test_device_is_counted_by_itself_and_its_address(people: People) -> None:
    path, device = "/api/devices/heartbeat", make_device(branch=people.branch)
    token = make_device_token(device=device)
    request = RequestFactory().post(path, headers={"Authorization": f"Bearer {token}"}, REMOTE_ADDR="192.0.2.7")
    request.user = AnonymousUser()

    found = rates_of(request, class_of(request))

    assert [rate.name for rate in found] == ["device-device", "address-device"]
    assert [rate.key for rate in found] == [f"device:device:{device.pk}", "device:address:192.0.2.7"]


def test_managers_are_customers_where_customers_are(people: People, limit: Callable[..., None]) -> None:
    assert "customer-read" in left(browser(people.alice).get("/me/"))


@pytest.mark.parametrize("path", ["/me/", "/control/"])
def test_counting_costs_no_query_of_its_own(
    people: People, limit: Callable[..., None], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    client = browser(people.alice)
    client.get(path)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(path).status_code == 200
        return len(captured)

    counted = queries()
    monkeypatch.setattr(rates, "class_of", lambda request: "")

    assert counted == queries()


def test_one_round_trip_a_request(people: People, limit: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    whole = rates._METER
    monkeypatch.setattr(rates, "_METER", lambda **given: calls.append(given["keys"]) or whole(**given))

    browser(people.dora).get("/me/")

    assert [len(keys) for keys in calls] == [2]


# --- above the limit --------------------------------------------------------------------------------------------------


def test_page_above_the_limit_is_429_and_says_when(limit: Callable[..., None]) -> None:
    limit(anonymous={"read": 2})
    client = browser()

    assert statuses(client, "/auth/sign-in", 2) == [200, 200]
    refused = client.get("/auth/sign-in")

    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 30
    assert "text/html" in refused["Content-Type"]
    assert left(refused)["anonymous-read"] == 0


def test_rest_above_the_limit_is_the_envelope(people: People, limit: Callable[..., None]) -> None:
    limit(manager={"read": 1})
    client = client_of(people.alice)
    client.get("/api/chains")

    refused = client.get("/api/chains")

    problem(refused, 429)
    assert int(refused["Retry-After"]) >= 1


def test_refused_request_reaches_no_view_and_takes_nothing(people: People, limit: Callable[..., None]) -> None:
    limit(manager={"read": 1})
    client = client_of(people.alice)
    client.get("/api/chains")

    with CaptureQueriesContext(connection) as queries:
        waits = [int(client.get("/api/chains")["Retry-After"]) for _ in range(5)]

    assert len(queries) == 0
    assert max(waits) <= 60


def test_classes_are_counted_apart(limit: Callable[..., None]) -> None:
    limit(anonymous={"sign-in": 1})
    client = browser()
    tries = [client.post("/auth/sign-in", {"login": "a@example.com", "password": "x"}).status_code for _ in range(2)]

    assert tries == [200, 429]
    assert client.get("/auth/sign-in").status_code == 200


def test_people_do_not_use_up_each_others(people: People, limit: Callable[..., None]) -> None:
    limit(customer={"read": 1})
    alice, dora = browser(people.alice), browser(people.dora)

    assert statuses(dora, "/me/", 2) == [200, 429]
    assert statuses(alice, "/me/", 1) == [200]


def test_one_person_uses_up_their_own_from_every_address(people: People, limit: Callable[..., None]) -> None:
    limit(customer={"read": 2})
    addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]

    assert [browser(people.dora, REMOTE_ADDR=each).get("/me/").status_code for each in addresses] == [200, 200, 429]


def test_credentials_made_up_each_time_meet_the_limit_of_the_address(limit: Callable[..., None]) -> None:
    limit(program={"read": 2}, address={"read": 5})
    tries = [Client(headers={"Authorization": f"Bearer {number}"}).get("/api/chains") for number in range(7)]

    assert [response.status_code for response in tries] == [401] * 5 + [429] * 2


@pytest.mark.parametrize(
    ("path", "header"),
    [("/me/", "Bearer {}"), ("/me/", "x{}"), ("/api/auth/me", "Bearer {}"), ("/api/auth/me", "Basic {}")],
)
def test_header_gets_nobody_out_of_their_own_limit(
    people: People, limit: Callable[..., None], path: str, header: str
) -> None:
    limit(customer={"read": 2})
    client = browser(people.dora)

    tries = [client.get(path, headers={"Authorization": header.format(number)}).status_code for number in range(4)]

    assert 429 not in tries[:2]
    assert tries[2:] == [429, 429]


@pytest.mark.parametrize(("path", "header"), [("/auth/sign-in", "Bearer {}"), ("/api/chains", "Basic {}")])
def test_header_that_is_no_token_for_rest_counts_for_nothing(
    limit: Callable[..., None], path: str, header: str
) -> None:
    limit(anonymous={"read": 2})

    tries = [Client(headers={"Authorization": header.format(number)}).get(path).status_code for number in range(3)]

    assert [status == 429 for status in tries] == [False, False, True]


def test_address_limit_spans_people_and_nobody(people: People, limit: Callable[..., None]) -> None:
    limit(address={"read": 3})
    clients = [browser(people.alice), browser(people.dora), browser(), browser()]

    assert [client.get("/auth/sign-in").status_code == 429 for client in clients] == [False, False, False, True]
    assert browser(REMOTE_ADDR="192.0.2.9").get("/auth/sign-in").status_code == 200


def test_ipv6_is_counted_by_network(limit: Callable[..., None]) -> None:
    limit(anonymous={"read": 1})
    addresses = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1"]

    answers = [browser(REMOTE_ADDR=each).get("/auth/sign-in").status_code for each in addresses]

    assert answers == [200, 429, 200]


def test_address_in_a_header_wins_no_limit_of_its_own(limit: Callable[..., None]) -> None:
    limit(anonymous={"read": 1})
    forged = [
        {"X-Forwarded-For": f"198.51.100.{number}", "CF-Connecting-IP": f"198.51.100.{number}"} for number in (1, 2)
    ]

    assert [browser(headers=each).get("/auth/sign-in").status_code for each in forged] == [200, 429]


# --- the count itself -------------------------------------------------------------------------------------------------


def passed(rate: Rate) -> bool:
    return meter([rate]).wait_s is None


@pytest.mark.parametrize("most", [1, 3, 7, 10, 100])
def test_as_many_pass_as_the_limit_says(most: int) -> None:
    rate = Rate("a", f"exact-{most}", most, window_s=3600)

    assert [passed(rate) for _ in range(most + 2)] == [True] * most + [False] * 2


def test_what_was_taken_comes_back_evenly(redis_url: str, settings: Settings) -> None:
    """Redis tells the time: everything is put back by a tenth of the window."""
    rate = Rate("a", "even", 10, window_s=60)
    while passed(rate):
        pass

    with Redis.from_url(redis_url) as redis:
        key = f"{settings.REDIS_KEY_PREFIX}:rate:{rate.key}"
        redis.set(key, float(redis.get(key)) - 6_000)

    assert [passed(rate), passed(rate)] == [True, False]


def test_request_counts_against_all_or_none() -> None:
    narrow, wide = Rate("narrow", "narrow", 1, 3600), Rate("wide", "wide", 2, 3600)
    assert meter([wide, narrow]).wait_s is None

    verdict = meter([wide, narrow])

    assert verdict.wait_s is not None
    assert [standing.left for standing in verdict.standings] == [1, 0]
    assert passed(wide)


def test_fields_follow_the_draft() -> None:
    verdict = meter([Rate("customer-read", "f", 10, 60), Rate("address-read", "g", 100, 60)])

    assert header_fields(verdict.standings) == {
        "RateLimit-Policy": '"customer-read";q=10;w=60, "address-read";q=100;w=60',
        "RateLimit": '"customer-read";r=9;t=6, "address-read";r=99;t=1',
    }


def test_fifty_at_once_pass_exactly_ten() -> None:
    rate = Rate("a", "together", 10, window_s=3600)

    answers = race(lambda: passed(rate), times=50)

    assert answers.count(True) == 10


def test_fifty_at_once_pass_exactly_ten_control(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading first and counting afterwards lets everybody through."""
    all_asked = Barrier(50)

    def read_then_count(*, keys: list[str], args: list[int]) -> list[int]:
        with Redis.from_url(redis_url) as redis:
            used = int(redis.get(keys[0]) or 0)
            all_asked.wait(20)
            redis.incr(keys[0])
        return [-1 if used < args[0] else 1000, 0, 0]

    monkeypatch.setattr(rates, "_METER", read_then_count)
    rate = Rate("a", "together", 10, window_s=3600)

    assert race(lambda: passed(rate), times=50) == [True] * 50


# --- without Redis ----------------------------------------------------------------------------------------------------


@pytest.fixture
def _redis_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = Redis.from_url(f"redis://{DEAD_ADDRESS}", socket_connect_timeout=1)
    monkeypatch.setattr(rates, "_METER", dead.register_script("return {-1}"))


@pytest.mark.usefixtures("_redis_is_down")
@pytest.mark.parametrize("path", ["/auth/sign-in", "/auth/2fa/give", "/auth/password-reset"])
def test_without_redis_nobody_signs_in(path: str) -> None:
    refused = browser().post(path, {"login": "a@example.com", "password": "x"})

    assert refused.status_code == 503
    assert refused["Retry-After"] == "10"


@pytest.mark.usefixtures("_redis_is_down")
def test_without_redis_no_program_signs_in() -> None:
    refused = browser().post("/api/auth/token/refresh", {"refresh": "x"}, content_type="application/json")

    problem(refused, 503)
    assert refused["Retry-After"] == "10"


@pytest.mark.usefixtures("_redis_is_down")
def test_without_redis_reading_writing_and_leaving_go_on(people: People) -> None:
    client = browser(people.dora)

    assert client.get("/me/").status_code == 200
    assert client.post("/s/nowhere1/unlock").status_code == 404
    assert client.post("/auth/sign-out").status_code == 302
    assert client_of(people.alice).get("/api/chains").status_code == 200


@pytest.mark.usefixtures("_redis_is_down")
def test_without_redis_tokens_are_revoked_and_acting_as_somebody_ends(people: People) -> None:
    ends = timezone.now() + timedelta(days=1)
    token, secret = create_personal_token(user=people.alice, name="x", scopes=["carts:view"], expires_at=ends)
    client = browser(people.erin)
    session = client.session
    session[ACTING_AS] = acting_entry(people.alice)
    session.save()

    assert client_of(people.alice).delete(f"/api/auth/tokens/{token.pk}").status_code == 204
    assert user_of_personal_token(secret) is None
    assert client.post("/auth/leave").status_code == 302
    assert ACTING_AS not in client.session


# --- websockets -------------------------------------------------------------------------------------------------------


async def opened(*, address: str = "192.0.2.1", extensions: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """What a websocket's opener is told, by an application that accepts."""
    told: list[dict[str, Any]] = []

    async def accept(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    scope = {"type": "websocket", "path": "/ws/me", "headers": [], "client": [address, 1], "extensions": extensions}
    await RatedSockets(accept)(scope, receive, send)
    return told


def test_websockets_are_counted_by_address(limit: Callable[..., None]) -> None:
    limit(address={"socket": 2})

    told = [asyncio.run(opened())[0]["type"] for _ in range(3)]

    assert told == ["websocket.accept", "websocket.accept", "websocket.close"]
    assert asyncio.run(opened(address="192.0.2.2"))[0]["type"] == "websocket.accept"


def test_refused_websocket_says_429_where_the_server_can(limit: Callable[..., None]) -> None:
    limit(address={"socket": 1})
    asyncio.run(opened())

    start = asyncio.run(opened(extensions={"websocket.http.response": {}}))[0]

    assert (start["status"], [name for name, _ in start["headers"]]) == (429, [b"retry-after"])


@pytest.mark.usefixtures("_redis_is_down")
def test_without_redis_websockets_open() -> None:
    assert asyncio.run(opened())[0]["type"] == "websocket.accept"


def test_anybody_without_a_name_is_anonymous() -> None:
    request = RequestFactory().get("/control/")
    request.user = AnonymousUser()

    assert [rate.name for rate in rates_of(request, "read")] == ["anonymous-read", "address-read"]
