"""Nothing is changed for a page of another site, by forms, scripts or websockets; with and without the token."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from asgiref.testing import ApplicationCommunicator
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import URLPattern, get_resolver, path, reverse
from django.urls.converters import IntConverter
from pytest_django import Settings

from carts.tests.factories import make_cart, make_rental
from core import origins
from core.origins import SocketOrigins
from tenants.tests.api import client_of, problem
from tenants.tests.factories import People, make_people
from tenants.tests.signing_in import sign_in
from tests.addresses import named

pytestmark = pytest.mark.django_db
OWN, FOREIGN, FRIEND = "http://testserver", "https://evil.example", "https://shop.example"


@pytest.fixture
def people() -> People:
    return make_people()


@pytest.fixture
def dora(people: People) -> Client:
    client = Client()
    sign_in(client, people.dora)
    return client


def headers(**given: str) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items()}


@pytest.mark.parametrize(
    ("sent", "passes"),
    [
        pytest.param({}, True, id="program"),
        pytest.param({"Origin": OWN}, True, id="own"),
        pytest.param({"Origin": OWN, "Sec_Fetch_Site": "same-origin"}, True, id="own-says-so"),
        pytest.param({"Sec_Fetch_Site": "none"}, True, id="typed"),
        pytest.param({"Origin": FOREIGN}, False, id="foreign"),
        pytest.param({"Origin": "null"}, False, id="sandboxed"),
        pytest.param({"Origin": ""}, False, id="empty"),
        pytest.param({"Origin": "http://testserver:81"}, False, id="other-port"),
        pytest.param({"Origin": "https://testserver"}, False, id="other-scheme"),
        pytest.param({"Origin": "http://testserver.evil.example"}, False, id="longer"),
        pytest.param({"Origin": "http://evil.testserver"}, False, id="below"),
        pytest.param({"Sec_Fetch_Site": "cross-site"}, False, id="cross-site"),
        pytest.param({"Sec_Fetch_Site": "same-site"}, False, id="other-host-of-the-site"),
        pytest.param({"Origin": FRIEND}, False, id="cors-is-for-rest"),
    ],
)
def test_form_of_another_site_is_refused(dora: Client, settings: Settings, sent: dict[str, str], passes: bool) -> None:
    settings.CORS_ALLOWED_ORIGINS = [FRIEND]

    answer = dora.post("/auth/sign-out", headers=headers(**sent))

    assert answer.status_code == (302 if passes else 403)
    assert ("_auth_user_id" in dora.session) is not passes


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_reading_is_free_to_link_to(dora: Client, method: str) -> None:
    assert getattr(dora, method)("/me/", headers=headers(Origin=FOREIGN)).status_code in (200, 405)


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_rest_of_another_site_is_refused(people: People, method: str) -> None:
    client = client_of(people.erin)
    path = f"/api/chains/{people.chain.pk}"

    problem(getattr(client, method)(path, {}, content_type="application/json", headers=headers(Origin=FOREIGN)), 403)


def test_program_needs_no_origin(people: People) -> None:
    body = {"name": "Fresh", "slug": "fresh"}

    assert client_of(people.erin).post("/api/chains", body, content_type="application/json").status_code == 201


def test_page_of_an_allowed_origin_may_call_rest(people: People, settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [FRIEND]
    body = {"name": "Fresh", "slug": "fresh"}

    answer = client_of(people.erin).post(
        "/api/chains", body, content_type="application/json", headers=headers(Origin=FRIEND)
    )

    assert (answer.status_code, answer["Access-Control-Allow-Origin"]) == (201, FRIEND)
    assert "Access-Control-Allow-Credentials" not in answer


def preflight(path: str, origin: str) -> Any:
    sent = {"Origin": origin, "Access_Control_Request_Method": "POST"}
    return Client().options(path, headers=headers(**sent))


def test_preflight_is_answered_for_allowed_origins_and_rest_only(settings: Settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [FRIEND]

    assert preflight("/api/chains", FRIEND)["Access-Control-Allow-Origin"] == FRIEND
    assert "authorization" in preflight("/api/chains", FRIEND)["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in preflight("/api/chains", FOREIGN)
    assert "Access-Control-Allow-Origin" not in preflight("/auth/sign-in", FRIEND)


def test_no_origin_is_allowed_by_default() -> None:
    assert "Access-Control-Allow-Origin" not in preflight("/api/chains", FRIEND)

    file = Client().get("/static/core/app.css", headers={"Origin": FRIEND})
    file.close()
    assert "Access-Control-Allow-Origin" not in file


def exempt(request: HttpRequest) -> HttpResponse:
    return HttpResponse("changed")


exempt.csrf_exempt = True
urlpatterns = [path("exempt", exempt)]


@pytest.mark.parametrize("control", [False, True], ids=["guarded", "control"])
def test_view_that_asks_for_no_token_is_guarded_too(monkeypatch: pytest.MonkeyPatch, control: bool) -> None:
    """The control takes the middleware's eyes away, and the attack goes through."""
    if control:
        monkeypatch.setattr(origins, "_comes_from_us", lambda request: True)

    with override_settings(ROOT_URLCONF=__name__):
        answer = Client(enforce_csrf_checks=True).post("/exempt", headers=headers(Origin=FOREIGN))

    assert answer.status_code == (200 if control else 403)


# --- Django's token ---------------------------------------------------------------------------------------------------

# Without a token these answer all the same: they are no pages.
NO_PAGES = ("api-",)


def pages() -> Iterator[tuple[str, URLPattern]]:
    yield from (each for each in named(get_resolver()) if not each[0].startswith(NO_PAGES))


@pytest.fixture
def known(people: People) -> dict[str, object]:
    cart = make_cart(branch=people.branch)
    rental = make_rental(cart=make_cart(branch=people.branch), customer=people.erin)
    return {
        "public_code": cart.public_code,
        "cart_id": cart.pk,
        "rental_id": rental.pk,
        "branch_id": people.branch.pk,
        "chain_id": people.chain.pk,
        "user_id": people.dora.pk,
        "token": "x" * 43,
        "pk": 1,
    }


@pytest.mark.parametrize("name", [name for name, _ in pages()])
def test_page_takes_nothing_without_its_token(people: People, known: dict[str, object], name: str) -> None:
    """Whoever is signed in: 403 before the view; 405 or 404 where nothing is taken, or an address needs another id."""
    client = Client(enforce_csrf_checks=True)
    sign_in(client, people.erin)
    pattern = dict(pages())[name]
    arguments = {
        key: known.get(key, 1 if isinstance(converter, IntConverter) else uuid4())
        for key, converter in pattern.pattern.converters.items()
    }

    answer = client.post(reverse(name, kwargs=arguments), headers=headers(Origin=OWN))

    assert answer.status_code == 403, name


@pytest.mark.parametrize("page", ["/admin/tenants/chain/add/", "/admin/devices/device/", "/admin/logout/"])
def test_admin_takes_nothing_without_its_token(people: People, page: str) -> None:
    client = Client(enforce_csrf_checks=True)
    sign_in(client, people.erin)

    assert client.post(page).status_code == 403


def test_rest_with_a_session_asks_for_the_token(people: People) -> None:
    client = Client(enforce_csrf_checks=True)
    sign_in(client, people.erin)

    problem(client.post("/api/chains", {"name": "a", "slug": "a"}, content_type="application/json"), 403)


# --- websockets -------------------------------------------------------------------------------------------------------


async def accepts(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})


async def is_opened(peer: str = "192.0.2.1", **sent: str) -> bool:
    headers = [(name.lower().encode(), value.encode()) for name, value in sent.items()]
    browser = ApplicationCommunicator(
        SocketOrigins(accepts), {"type": "websocket", "path": "/ws/me", "headers": headers, "client": [peer, 1]}
    )
    await browser.send_input({"type": "websocket.connect"})
    told: str = (await browser.receive_output(5))["type"]
    return told == "websocket.accept"


@pytest.mark.parametrize(
    ("origin", "opens"),
    [
        (OWN, True),
        (FRIEND, True),
        (FOREIGN, False),
        ("", False),
        ("null", False),
        ("http://testserver:81", False),
        ("https://testserver", False),
        ("http://testserver.evil.example", False),
    ],
)
async def test_only_pages_of_ours_open_websockets(settings: Settings, origin: str, opens: bool) -> None:
    settings.CSRF_TRUSTED_ORIGINS = [FRIEND]

    assert await is_opened(Host="testserver", Origin=origin) is opens


async def test_websocket_without_an_origin_is_refused() -> None:
    assert not await is_opened(Host="testserver")


async def test_websocket_of_a_foreign_host_is_refused() -> None:
    assert not await is_opened(Host="evil.example", Origin="http://evil.example")


async def test_websocket_behind_a_proxy_that_speaks_tls_is_ours(settings: Settings) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    sent = {"Host": "testserver", "Origin": "https://testserver"}

    assert await is_opened("10.0.0.1", **sent, **{"X-Forwarded-Proto": "https"})
    assert not await is_opened("10.0.0.1", **sent)
    assert not await is_opened(**sent, **{"X-Forwarded-Proto": "https"})
