"""Websockets behind Cloudflare Access: its header is right and names whoever the session is of, or nothing opens."""

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async as in_database
from django.conf import settings
from django.db import connection
from django.test import Client
from pytest_django import Settings

from config.asgi import application
from tenants import cloudflare
from tenants.models import User
from tenants.tests.access_team import Team
from tenants.tests.factories import People, make_people
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db(transaction=True)
DEADLINE_S = 10.0


@pytest.fixture(autouse=True)
def _connections_end_with_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the web process; the threads of a test's event loop would keep theirs."""
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)


def scope_of(user: User, assertion: str | None, path: str) -> dict[str, object]:
    client = Client()
    sign_in(client, user)
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    headers = {"host": "testserver", "origin": "http://testserver", "cookie": cookie}
    if assertion is not None:
        headers["cf-access-jwt-assertion"] = assertion
    return {
        "type": "websocket",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "subprotocols": [],
    }


async def opens(people: People, user: User, assertion: str | None, *, path: str = "") -> bool:
    scope = await in_database(scope_of)(user, assertion, path or f"/ws/branches/{people.branch.pk}")
    socket = ApplicationCommunicator(application, scope)
    await socket.send_input({"type": "websocket.connect"})
    answer = await socket.receive_output(DEADLINE_S)
    opened = bool(answer["type"] == "websocket.accept")
    if opened:
        await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait(DEADLINE_S)
    return opened


async def test_socket_opens_for_whom_the_header_names(team: Team) -> None:
    people = await in_database(make_people)()

    answers = {
        "their own": await opens(people, people.alice, team.mint(email=people.alice.email)),
        "without a header": await opens(people, people.alice, None),
        "another person's": await opens(people, people.alice, team.mint(email=people.bob.email)),
        "a stranger's": await opens(people, people.alice, team.mint(email="stranger@example.com")),
        "expired": await opens(people, people.alice, team.mint(email=people.alice.email, exp=1)),
        "rubbish": await opens(people, people.alice, "rubbish"),
    }

    assert answers == {**dict.fromkeys(answers, False), "their own": True, "without a header": True}


async def test_socket_opens_for_whom_the_header_names_control(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check a stranger's header changes nothing."""
    people = await in_database(make_people)()
    monkeypatch.setattr(cloudflare, "_admits", lambda *_: True)

    assert await opens(people, people.alice, team.mint(email="stranger@example.com"))


@pytest.mark.parametrize("configured", [True, False])
async def test_socket_of_the_back_office_needs_the_header_where_it_is_required(
    team: Team, settings: Settings, configured: bool
) -> None:
    people = await in_database(make_people)()
    settings.CF_ACCESS_REQUIRED = True
    if not configured:
        settings.CF_ACCESS_TEAM_URL = ""

    with_header = await opens(people, people.alice, team.mint(email=people.alice.email))

    assert (await opens(people, people.alice, None), with_header) == (False, configured)
    assert await opens(people, people.dora, None, path="/ws/me")


async def test_without_the_setting_the_header_means_nothing(team: Team, settings: Settings) -> None:
    people = await in_database(make_people)()
    settings.CF_ACCESS_TEAM_URL = ""

    assert await opens(people, people.alice, "rubbish")
