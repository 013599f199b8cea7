"""Sessions as rows: a dump lets nobody in, and what was ended stays ended."""

import base64
import os
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.db import connection
from django.test import Client
from django.utils import timezone

from core.tests.race import race
from tenants.models import BrowserSession
from tenants.session_store import SessionStore, hash_of
from tenants.tests.factories import People, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db


def stored() -> str:
    """The table as a dump has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM tenants_browsersession")
        return str(cursor.fetchall())


def make_session(**content: Any) -> SessionStore:
    session = SessionStore()
    session.update(content)
    session.save()
    return session


def reopened(session: SessionStore) -> dict[str, Any]:
    return dict(SessionStore(session.session_key).items())


def test_cookie_and_content_are_not_in_the_database() -> None:
    session = make_session(word="pomegranate")

    assert reopened(session) == {"word": "pomegranate"}
    assert session.session_key
    assert session.session_key not in stored()
    assert "pomegranate" not in stored()
    assert base64.b64encode(b"pomegranate")[:-2].decode() not in stored()
    assert hash_of(session.session_key) in stored()


def test_what_is_in_the_database_is_no_cookie(client: Client, people: People) -> None:
    sign_in(client, people.alice)
    cookie = BrowserSession.objects.get().pk

    thief = Client(headers={"Cookie": f"sessionid={cookie}"})

    assert thief.get("/control/")["Location"].startswith("/auth/sign-in")
    assert client.get("/control/").status_code == 200


def test_content_that_can_not_be_read_is_nobodys_session() -> None:
    session = make_session(word="pomegranate")
    BrowserSession.objects.update(session_data="dev$" + base64.b64encode(os.urandom(60)).decode())

    assert reopened(session) == {}


def test_address_and_browser_stay_when_the_session_is_saved() -> None:
    session = make_session(n=1)
    BrowserSession.objects.update(address="192.0.2.7", user_agent="Firefox", seen_at=timezone.now())
    before = BrowserSession.objects.get()

    session["n"] = 2
    session.save()

    after = BrowserSession.objects.get()
    assert (after.address, after.user_agent, after.seen_at) == ("192.0.2.7", "Firefox", before.seen_at)
    assert reopened(session) == {"n": 2}


def test_new_cookie_of_the_same_session_keeps_all_of_it_and_ends_the_old_one() -> None:
    session = make_session(n=1)
    BrowserSession.objects.update(address="192.0.2.7", user_agent="Firefox", seen_at=timezone.now())
    old = session.session_key

    session.cycle_key()
    session.save()

    row = BrowserSession.objects.get()
    assert session.session_key != old
    assert (reopened(session), dict(SessionStore(old).items())) == ({"n": 1}, {})
    assert (row.pk, row.address, row.user_agent) == (hash_of(session.session_key), "192.0.2.7", "Firefox")


def test_session_of_nobody_begins_when_somebody_signs_in(client: Client) -> None:
    user = make_user()
    client.get("/auth/sign-in")
    session = client.session
    session["n"] = 1
    session.save()
    BrowserSession.objects.update(created_at=timezone.now() - timedelta(days=3))

    client.force_login(user)

    assert timezone.now() - BrowserSession.objects.get(user=user).created_at < timedelta(minutes=1)


def age_of(row: BrowserSession) -> float:
    return (row.expire_date - timezone.now()).total_seconds()


def test_session_of_nobody_lasts_an_hour(client: Client, settings: Any) -> None:
    answer = client.get("/auth/2fa/keys/sign-in", headers={"Accept": "application/json"})

    assert age_of(BrowserSession.objects.get()) == pytest.approx(3600, abs=60)
    assert answer.cookies["sessionid"]["max-age"] == 3600
    client.force_login(make_user())
    assert age_of(BrowserSession.objects.get()) == pytest.approx(settings.SESSION_COOKIE_AGE, abs=60)


@pytest.mark.parametrize("then", ["save", "cycle"])
def test_session_that_was_ended_meanwhile_stays_ended(then: str) -> None:
    session = make_session(n=1)
    session["n"] = 2
    BrowserSession.objects.all().delete()

    if then == "cycle":
        session.cycle_key()
    with pytest.raises(UpdateError):
        session.save()

    assert not BrowserSession.objects.exists()


def test_wrong_key_ends_the_session(client: Client, people: People, settings: Any) -> None:
    sign_in(client, people.alice)

    settings.FIELD_KEYS = {"other": base64.b64encode(os.urandom(32)).decode()}

    assert client.get("/control/")["Location"].startswith("/auth/sign-in")


def test_old_key_still_reads(client: Client, people: People, settings: Any) -> None:
    sign_in(client, people.alice)

    settings.FIELD_KEYS = {"new": base64.b64encode(os.urandom(32)).decode(), **settings.FIELD_KEYS}

    assert client.get("/control/").status_code == 200


def test_session_past_its_time_is_over(client: Client, people: People) -> None:
    sign_in(client, people.alice)
    BrowserSession.objects.update(expire_date=timezone.now() - timedelta(seconds=1))

    assert client.get("/control/")["Location"].startswith("/auth/sign-in")


@pytest.mark.parametrize("cookie", ["", "x", "\x00", "א", "a" * 10_000, "../../x", "' OR 1=1 --"])
def test_cookie_nobody_was_given_is_nobodys(cookie: str) -> None:
    session = SessionStore(cookie)

    assert dict(session.items()) == {}
    assert session.session_key is None


def test_row_says_whose_it_is(client: Client, people: People) -> None:
    sign_in(client, people.alice)
    assert [row.user for row in BrowserSession.objects.all()] == [people.alice]

    client.post("/auth/sign-out")

    assert not BrowserSession.objects.filter(user=people.alice).exists()


async def test_asynchronous_methods_do_the_same() -> None:
    session = SessionStore()
    await session.aset("n", 1)
    await session.asave()
    await BrowserSession.objects.aupdate(address="192.0.2.7")
    again = SessionStore(session.session_key)

    assert (await again.aget("n"), await again.aexists(session.session_key or "")) == (1, True)
    old = again.session_key
    await again.acycle_key()
    await again.asave()
    assert (again.session_key != old, await SessionStore(old).aget("n")) == (True, None)
    assert await SessionStore(again.session_key).aget("n") == 1
    assert (await BrowserSession.objects.aget()).address == "192.0.2.7"  # the row moved
    await again.adelete()
    assert await SessionStore(session.session_key).aget("n") is None


@pytest.mark.django_db(transaction=True)
def test_many_new_sessions_at_once_have_rows_of_their_own() -> None:
    keys = race(lambda: make_session(n=1).session_key, times=8)

    assert len(set(keys)) == 8
    assert BrowserSession.objects.count() == 8
