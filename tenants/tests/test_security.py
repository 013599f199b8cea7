"""One's own account: what the pages show, whose they are, and who is kept out while acting as somebody else."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from tenants import middleware
from tenants.models import PersonalToken
from tenants.requester import ACTING_AS, acting_entry
from tenants.services.personal_tokens import create_personal_token, user_of_personal_token
from tenants.tests.authenticators import give_app
from tenants.tests.factories import People
from tenants.tests.signing_in import sign_in

# What somebody who acts as another may open below /auth/: the ways out, and home.
OPEN_WHILE_ACTING = {"home", "sign-out", "sign-out-now", "leave"}


def act_as(client: Client, actor: Any, user: Any) -> None:
    sign_in(client, actor)
    session = client.session
    session[ACTING_AS] = acting_entry(user)
    session.save()


def addresses() -> list[str]:
    """Every address of tenants/urls.py, with values for its parts."""
    found = []

    def walk(patterns: Any, before: str) -> None:
        for each in patterns:
            path = before + str(each.pattern)
            if hasattr(each, "url_patterns"):
                walk(each.url_patterns, path)
            elif path.startswith("auth/"):
                found.append(path.removeprefix("auth/"))

    walk(get_resolver().url_patterns, "")
    return sorted(set(found))


def filled(path: str, people: People) -> str:
    """The address with values: alice's key where one of a person is asked for."""
    values = {"uuid": str(people.alice.pk), "int": "1", "str": "a" * 64}
    return "/auth/" + re.sub(r"<(\w+):\w+>", lambda part: values[part[1]], path)


def test_every_address_of_an_account_is_closed_while_acting_as_somebody(people: People) -> None:
    answers = {}
    for path in addresses():
        for send in ("get", "post"):
            client = Client()
            act_as(client, people.erin, people.alice)
            answers[path, send] = getattr(client, send)(filled(path, people)).status_code

    assert len(answers) > 60
    assert {path for (path, _), status in answers.items() if status != 403} == OPEN_WHILE_ACTING


@pytest.mark.parametrize(
    "path", ["security", "sessions", "tokens", "2fa/app", "email", "password", "google", "confirm"]
)
def test_page_of_an_account_is_closed_while_acting_as_somebody(people: People, client: Client, path: str) -> None:
    act_as(client, people.erin, people.alice)

    assert client.get(f"/auth/{path}").status_code == 403


def test_page_of_an_account_is_closed_while_acting_as_somebody_control(
    people: People, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the list empty whoever acts as alice sees where she is signed in."""
    monkeypatch.setattr(middleware, "PRIVATE", ("/nowhere/",))
    sign_in(Client(), people.alice)
    act_as(client, people.erin, people.alice)

    page = client.get("/auth/sessions")

    assert page.status_code == 200
    assert len(page.context["sessions"]) == 1


def test_page_shows_ones_own_state(people: People, client: Client) -> None:
    give_app(people.alice)
    give_app(people.charlie)
    create_personal_token(
        user=people.charlie, name="x", scopes=["carts:view"], expires_at=timezone.now() + timedelta(days=1)
    )
    sign_in(client, people.alice)

    page = client.get("/auth/security")

    shown = {name: page.context[name] for name in ("keys", "codes", "has_password", "google", "trusted", "tokens")}
    assert shown == {"keys": 0, "codes": 10, "has_password": False, "google": False, "trusted": True, "tokens": 0}
    assert page.context["app"].user_id == people.alice.pk
    assert people.charlie.email not in page.content.decode()


@pytest.mark.parametrize("who", ["alice", "dora"])
def test_every_link_of_the_page_leads_somewhere(people: People, client: Client, who: str) -> None:

    user = getattr(people, who)
    sign_in(client, user)
    links = set(re.findall(r'href="(/auth/[^"?#]+)"', client.get("/auth/security").content.decode()))

    answers = {link: client.get(link).status_code for link in links}

    assert len(links) >= 4
    assert set(answers.values()) <= {200, 302, 403}
    assert answers["/auth/sessions"] == 200


@pytest.mark.parametrize(("page", "who"), [("/me/", "dora"), ("/control/", "alice")])
def test_account_leads_to_the_page(people: People, client: Client, page: str, who: str) -> None:
    sign_in(client, getattr(people, who))

    assert 'href="/auth/security"' in client.get(page).content.decode()


# Personal tokens.


def create(client: Client, **fields: Any) -> Any:
    return client.post("/auth/tokens/create", {"name": "Report", "days": 30, "scopes": ["carts:view"], **fields})


def test_token_is_shown_once(people: People, client: Client) -> None:
    sign_in(client, people.alice)

    made = create(client)
    listed = client.get("/auth/tokens")

    secret = made.context["secret"]
    token = PersonalToken.objects.get()
    assert secret in made.content.decode()
    assert "no-store" in made["Cache-Control"]
    assert secret not in listed.content.decode()
    assert "Report" in listed.content.decode()
    assert (token.user, token.scopes) == (people.alice, ["carts:view"])
    assert abs(token.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    assert user_of_personal_token(secret) == people.alice


def test_scopes_are_among_what_the_person_holds(people: People, client: Client) -> None:
    sign_in(client, people.alice)
    page = client.get("/auth/tokens/create")

    offered = {value for value, _ in page.context["form"].fields["scopes"].choices}
    refused = create(client, scopes=["users:change"])

    assert {"carts:view", "carts:*", "rentals:view", "rentals:return"} <= offered
    assert not {"*", "users:change", "roles:view", "devices:*"} & offered
    assert refused.status_code == 200
    assert not PersonalToken.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [{"name": ""}, {"name": " "}, {"name": "x" * 81}, {"scopes": []}, {"days": 366}, {"days": ""}, {"name": "\x00"}],
)
def test_token_that_is_wrong_is_not_made(people: People, client: Client, fields: dict[str, Any]) -> None:
    sign_in(client, people.alice)

    answer = create(client, **fields)

    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert not PersonalToken.objects.exists()


def test_token_is_revoked(people: People, client: Client) -> None:
    sign_in(client, people.alice)
    secret = create(client).context["secret"]
    url = f"/auth/tokens/{PersonalToken.objects.get().pk}/revoke"

    asked = client.get(url)
    before = user_of_personal_token(secret)
    client.post(url)

    assert (asked.status_code, before) == (200, people.alice)
    assert user_of_personal_token(secret) is None
    assert "Report" not in client.get("/auth/tokens").content.decode()


@pytest.mark.parametrize("who", ["bob", "charlie", "dora", "erin"])
def test_token_of_somebody_else_does_not_exist(people: People, client: Client, who: str) -> None:
    sign_in(client, people.alice)
    secret = create(client).context["secret"]
    other = Client()
    sign_in(other, getattr(people, who))

    answer = other.post(f"/auth/tokens/{PersonalToken.objects.get().pk}/revoke")

    assert answer.status_code == 404
    assert user_of_personal_token(secret) == people.alice
    assert "Report" not in other.get("/auth/tokens").content.decode()
