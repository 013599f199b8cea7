"""Who am I, and signing out, over REST."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tenants.models import BrowserSession, RefreshToken, Role, User
from tenants.requester import ACTING_AS, SEEN_AS, acting_entry, seen_as_entry
from tenants.services import create_personal_token, issue_tokens
from tenants.services.sessions import TokenPair, user_of_token
from tenants.tests.api import client_of, problem
from tenants.tests.factories import People
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db


def using(token: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {token}"})


def me(client: Client) -> dict[str, Any]:
    return dict(client.get("/api/auth/me").json())


def test_me_tells_what_is_held_where(people: People) -> None:
    answer = me(client_of(people.alice))

    assert {name: answer[name] for name in ("id", "email", "name", "second_factor", "scopes", "acting", "seen_as")} == {
        "id": str(people.alice.pk),
        "email": people.alice.email,
        "name": "Alice",
        "second_factor": True,
        "scopes": None,
        "acting": None,
        "seen_as": None,
    }
    (grant,) = answer["grants"]
    assert (grant["role"], grant["scope"], grant["chain"], grant["branch"]) == (
        "branch_manager",
        "branch",
        None,
        str(people.branch.pk),
    )
    assert "carts:*" in grant["permissions"]


def test_me_without_a_second_factor_holds_nothing(people: People) -> None:
    answer = me(using(issue_tokens(people.alice, second_factor=False).access))

    assert (answer["second_factor"], answer["grants"]) == (False, [])


def test_me_with_a_personal_token_holds_what_its_scopes_leave(people: People) -> None:
    _, secret = create_personal_token(
        user=people.erin,
        name="x",
        scopes=["carts:view", "users:*"],
        expires_at=timezone.now() + timezone.timedelta(days=1),
    )

    answer = me(using(secret))

    assert answer["scopes"] == ["carts:view", "users:*"]
    assert [each["permissions"] for each in answer["grants"]] == [["carts:view", "users:*"]]


def test_me_seen_as_another_role(people: People, client: Client) -> None:
    sign_in(client, people.erin)
    session = client.session
    session[SEEN_AS] = seen_as_entry(Role.objects.get(code="branch_manager"), people.branch)
    session.save()

    answer = me(client)

    assert (answer["id"], answer["seen_as"]) == (str(people.erin.pk), "branch_manager")
    assert [each["branch"] for each in answer["grants"]] == [str(people.branch.pk)]


def test_me_while_acting_as_somebody_tells_so_and_changes_nothing(people: People, client: Client) -> None:
    User.objects.filter(pk=people.alice.pk).update(phone="+972521234567")
    sign_in(client, people.erin)
    session = client.session
    session[ACTING_AS] = acting_entry(people.alice)
    session.save()

    answer = me(client)

    assert (answer["id"], answer["acting"]) == (str(people.alice.pk), str(people.erin.pk))
    assert answer["phone"].endswith("4567")
    assert "52123" not in answer["phone"]
    problem(client.patch("/api/auth/me", {"name": "X"}, content_type="application/json"), 403)
    problem(client.get("/api/auth/tokens"), 403)
    assert User.objects.get(pk=people.alice.pk).name == "Alice"


def test_people_change_their_name_and_language_and_nothing_else(people: People) -> None:
    client = client_of(people.alice)
    before = User.objects.values().get(pk=people.alice.pk)

    answer = client.patch(
        "/api/auth/me",
        {"name": "Alice B", "language": "fr", "email": "erin@example.com", "is_active": False, "client_id": "x"},
        content_type="application/json",
    )

    assert (answer.status_code, answer.json()["name"], answer.json()["language"]) == (200, "Alice B", "fr")
    assert User.objects.values().get(pk=people.alice.pk) == {**before, "name": "Alice B", "language": "fr"}


def test_what_is_left_out_stays(people: People) -> None:
    answer = client_of(people.alice).patch("/api/auth/me", {"language": "he"}, content_type="application/json")

    assert (answer.json()["name"], answer.json()["language"]) == ("Alice", "he")


@pytest.mark.parametrize("wrong", [{"language": "xx"}, {"name": "x" * 256}, {"name": "\x00"}, {"name": None}], ids=str)
def test_bad_change_is_named(people: People, wrong: dict[str, object]) -> None:
    errors = problem(client_of(people.alice).patch("/api/auth/me", wrong, content_type="application/json"), 400)

    assert set(errors) == set(wrong)


def test_nobody_is_told_nothing() -> None:
    problem(Client().get("/api/auth/me"), 401)
    problem(Client().post("/api/auth/logout"), 401)


# Signing out.


def pairs_of(user: User) -> tuple[TokenPair, TokenPair]:
    return issue_tokens(user, second_factor=True), issue_tokens(user, second_factor=True)


def log_out(pair: TokenPair, **body: object) -> int:
    return int(using(pair.access).post("/api/auth/logout", body, content_type="application/json").status_code)


def test_signing_out_ends_this_access_token_and_its_family_at_once(people: People) -> None:
    mine, other = pairs_of(people.alice)

    assert log_out(mine) == 204

    problem(using(mine.access).get("/api/branches"), 401)
    problem(Client().post("/api/auth/token/refresh", {"refresh": mine.refresh}, "application/json"), 401)
    assert user_of_token(other.access) == people.alice


def test_signing_out_ends_the_named_family_as_well(people: People) -> None:
    mine, other = pairs_of(people.alice)

    assert log_out(mine, refresh=other.refresh) == 204

    assert (user_of_token(other.access), RefreshToken.objects.count()) == (None, 0)


def test_signing_out_leaves_others_alone(people: People) -> None:
    mine, theirs = issue_tokens(people.alice, second_factor=True), issue_tokens(people.bob, second_factor=True)

    assert log_out(mine, refresh=theirs.refresh) == 204

    assert user_of_token(theirs.access) == people.bob


def test_signing_out_everywhere(people: People, client: Client) -> None:
    mine, other = pairs_of(people.alice)
    sign_in(client, people.alice)

    assert log_out(mine, everywhere=True) == 204

    assert (user_of_token(mine.access), user_of_token(other.access)) == (None, None)
    problem(client.get("/api/branches"), 401)


def test_signing_out_in_a_browser_ends_its_session(people: People, client: Client) -> None:
    sign_in(client, people.alice)

    assert client.post("/api/auth/logout", {}, content_type="application/json").status_code == 204
    assert not BrowserSession.objects.filter(user=people.alice).exists()
