"""Where one is signed in: the list, ending one or all others, how long they last, and what ends them all."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.utils import timezone

from core.models import AuditEntry
from tenants.browsers import name_of
from tenants.models import BrowserSession, Grant, RefreshToken, User
from tenants.requester import TRUSTED_TIME
from tenants.services import deactivate_person, issue_tokens, reactivate_person, revoke_grant, sweep_expired_grants
from tenants.services.accounts import change_password
from tenants.services.second_factor import reset_second_factor
from tenants.services.sessions import user_of_token
from tenants.session_store import hash_of
from tenants.tests.authenticators import code_of, give_app
from tenants.tests.factories import People, make_grant
from tenants.tests.signing_in import sign_in
from tenants.tests.test_second_factor import set_up_app

ANDROID = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Mobile Safari/537.36"
)
MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15"
)


def signed_in(user: User, *, agent: str = ANDROID, address: str = "192.0.2.7", **options: Any) -> Client:
    client = Client(headers={"User-Agent": agent}, REMOTE_ADDR=address)
    sign_in(client, user, **options)
    client.get("/auth/security")
    return client


def key_of(client: Client) -> str:
    return hash_of(client.cookies["sessionid"].value)


def is_in(client: Client) -> bool:
    return client.get("/auth/sessions").status_code == 200


def test_list_names_browsers_and_marks_this_one(people: People) -> None:
    here, there = signed_in(people.alice), signed_in(people.alice, agent=MAC, address="2001:db8::5")
    signed_in(people.charlie, agent="Firefox/1 Linux", address="198.51.100.9")

    page = here.get("/auth/sessions")

    shown = [(each["name"], each["row"].address, each["here"]) for each in page.context["sessions"]]
    assert shown == [("Chrome on Android", "192.0.2.7", True), ("Safari on Mac", "2001:db8::5", False)]
    assert "198.51.100.9" not in page.content.decode()
    assert key_of(there) in page.content.decode()


def test_one_is_ended_at_once(people: People) -> None:
    here, there, third = signed_in(people.alice), signed_in(people.alice), signed_in(people.alice)

    answer = here.post(f"/auth/sessions/{key_of(there)}/end")

    assert answer["Location"] == "/auth/sessions"
    assert (is_in(here), is_in(there), is_in(third)) == (True, False, True)
    assert list(AuditEntry.objects.values_list("action", "actor_id")) == [("session ended", people.alice.pk)]


def test_all_others_are_ended_at_once(people: People) -> None:
    here, there, third = signed_in(people.alice), signed_in(people.alice), signed_in(people.alice)
    stranger = signed_in(people.charlie)

    here.post("/auth/sessions/end-others")

    assert [is_in(each) for each in (here, there, third, stranger)] == [True, False, False, True]


def test_this_one_is_ended_by_signing_out(people: People) -> None:
    here = signed_in(people.alice)

    answer = here.post(f"/auth/sessions/{key_of(here)}/end")

    assert answer["Location"] == "/auth/sign-in"
    assert not is_in(here)


@pytest.mark.parametrize("who", ["bob", "erin", "charlie", "dora"])
def test_session_of_somebody_else_does_not_exist(people: People, who: str) -> None:
    alices, other = signed_in(people.alice), signed_in(getattr(people, who))

    answer = other.post(f"/auth/sessions/{key_of(alices)}/end")

    assert answer.status_code == 404
    assert is_in(alices)


@pytest.mark.parametrize("url", ["/auth/sessions/end-others", "/auth/sessions/x/end", "/auth/tokens"])
def test_looking_changes_nothing(people: People, url: str) -> None:
    here, there = signed_in(people.alice), signed_in(people.alice)

    here.get(url)

    assert is_in(there)


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["/auth/security", "/auth/sessions", "/auth/tokens", "/auth/2fa/keys"])
def test_nobody_is_sent_to_sign_in(client: Client, url: str) -> None:
    assert client.get(url)["Location"] == f"/auth/sign-in?next={url}"


# How long.


def ends_in(client: Client) -> timedelta:
    return BrowserSession.objects.get(pk=key_of(client)).expire_date - timezone.now()


@pytest.mark.parametrize(("who", "days"), [("alice", 0.5), ("bob", 0.5), ("erin", 0.5), ("dora", 30)])
def test_sessions_of_the_back_office_are_short(people: People, who: str, days: float) -> None:
    client = signed_in(getattr(people, who))

    assert abs(ends_in(client) - timedelta(days=days)) < timedelta(minutes=1)


def test_session_of_the_back_office_ends_however_much_it_is_used(people: People) -> None:
    client = signed_in(people.alice)
    session = client.session
    begun = session["_session_expiry"]
    session["seen_at"] = 0
    session.save()

    client.get("/control/")

    assert client.session["_session_expiry"] == begun
    assert ends_in(client) <= TRUSTED_TIME


def test_session_becomes_short_with_the_first_grant(people: People) -> None:
    client = signed_in(people.dora, second_factor=False, method="password")
    make_grant(user=people.dora, role="branch_manager", branch=people.branch)
    User.objects.filter(pk=people.dora.pk).update(access_version="00000000-0000-0000-0000-000000000001")

    set_up_app(client)

    assert ends_in(client) <= TRUSTED_TIME


def test_session_of_a_password_sign_in_is_short_too(people: People) -> None:
    """allauth sets its own time once somebody is signed in."""
    people.alice.set_password("correct horse battery staple")
    people.alice.save()
    EmailAddress.objects.create(user=people.alice, email=people.alice.email, verified=True, primary=True)
    secret = give_app(people.alice)
    client = Client()

    client.post("/auth/sign-in", {"login": people.alice.email, "password": "correct horse battery staple"})
    client.post("/auth/2fa/give", {"code": code_of(secret)})
    client.get("/control/")

    assert ends_in(client) <= TRUSTED_TIME


# What ends all of them.


def close(people: People) -> None:
    deactivate_person(user=people.alice, actor=people.erin)


def new_password(people: People) -> None:
    change_password(user=people.alice, password="another one, please")


def lose_factor(people: People) -> None:
    reset_second_factor(user=people.alice, actor=people.erin)


def lose_grant(people: People) -> None:
    revoke_grant(grant=Grant.objects.get(user=people.alice), actor=people.erin)


def run_out(people: People) -> None:
    Grant.objects.filter(user=people.alice).update(expires_at=timezone.now() - timedelta(seconds=1))
    sweep_expired_grants()


ENDS = [close, new_password, lose_factor, lose_grant, run_out]


@pytest.mark.parametrize("end", ENDS)
def test_every_session_and_token_ends_at_once(people: People, end: Callable[[People], None]) -> None:
    browsers = [signed_in(people.alice), signed_in(people.alice, agent=MAC)]
    pairs = [issue_tokens(people.alice, second_factor=True) for _ in range(2)]
    colleague, colleagues_pair = signed_in(people.bob), issue_tokens(people.bob, second_factor=True)

    end(people)

    assert [is_in(each) for each in browsers] == [False, False]
    assert [user_of_token(each.access) for each in pairs] == [None, None]
    assert list(RefreshToken.objects.values_list("user", flat=True)) == [people.bob.pk]
    assert set(BrowserSession.objects.exclude(user=None).values_list("user", flat=True)) == {people.bob.pk}
    assert (is_in(colleague), user_of_token(colleagues_pair.access)) == (True, people.bob)


@pytest.mark.parametrize("end", [new_password, lose_factor, lose_grant, run_out])
def test_every_session_and_token_ends_at_once_control(
    people: People, end: Callable[[People], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody is signed out, old sessions go on."""
    for where in ("people", "accounts"):
        monkeypatch.setattr(f"tenants.services.{where}.sign_out_everywhere", lambda user_id: None)
    browser = signed_in(people.alice)
    pair = issue_tokens(people.alice, second_factor=True)
    monkeypatch.setattr(User, "get_session_auth_hash", lambda user: "same")
    monkeypatch.setattr(User, "get_session_auth_fallback_hash", lambda user: iter(["same"]))
    session = browser.session
    session["_auth_user_hash"] = "same"
    session.save()

    end(people)

    assert is_in(browser)
    assert user_of_token(pair.access) == people.alice


def test_session_does_not_come_back_with_the_account(people: People) -> None:
    client = signed_in(people.alice)

    close(people)
    out = is_in(client)
    reactivate_person(user=User.objects.get(pk=people.alice.pk), actor=people.erin)

    assert (out, is_in(client)) == (False, False)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (ANDROID, "Chrome on Android"),
        (MAC, "Safari on Mac"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", "Firefox on Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) CriOS/131.0 Mobile Safari/604.1", "Chrome on iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/131.0 Safari/537.36 Edg/131.0", "Edge on Windows"),
        ("curl/8.5", "Unknown browser"),
        ("", "Unknown browser"),
    ],
)
def test_browsers_are_told_in_words(agent: str, name: str) -> None:
    assert name_of(agent) == name
