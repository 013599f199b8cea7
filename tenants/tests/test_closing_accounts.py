"""Closing and opening accounts on the page of a person: who is offered it, who may, and what ends."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.models import AuditEntry
from tenants.models import Grant, Role, User
from tenants.services import deactivate_person, issue_tokens
from tenants.services.sessions import user_of_token
from tenants.tests.factories import People, again, make_grant, make_user
from tenants.tests.signing_in import browser_of

BUTTONS = {"close": "Close account", "reopen": "Reopen account"}


def page_of(user: User) -> str:
    return f"/control/people/{user.pk}"


def offered(asker: User, user: User) -> list[str]:
    """Which of the two the page has a form for."""
    page = browser_of(asker).get(page_of(user)).content.decode()
    return [each for each, label in BUTTONS.items() if f'action="{page_of(user)}/{each}"' in page and label in page]


def send(asker: User, user: User, what: str = "close") -> Any:
    return browser_of(asker).post(f"{page_of(user)}/{what}", follow=True)


def give_own_role(user: User, *permissions: str, **place: Any) -> None:
    role = Role.objects.create(code=f"own-{user.pk.hex[:8]}", name="Own", permissions=list(permissions))
    Grant.objects.create(user=user, role=role, **place)


def told() -> list[tuple[str, Any, str]]:
    rows = AuditEntry.objects.filter(action__startswith="account").order_by("pk")
    return list(rows.values_list("action", "actor_id", "entity_id"))


def test_account_is_closed_and_everything_of_it_ends(people: People) -> None:
    alices, pair = browser_of(people.alice), issue_tokens(people.alice, second_factor=True)
    before = offered(people.erin, people.alice)

    answer = send(people.erin, people.alice)

    assert before == ["close"]
    assert answer.redirect_chain == [(page_of(people.alice), 302)]
    assert "The account is closed." in answer.content.decode()
    assert not again(people.alice).is_active
    assert alices.get("/control/")["Location"].startswith("/auth/sign-in")
    assert user_of_token(pair.access) is None
    assert told() == [("account closed", people.erin.pk, str(people.alice.pk))]


def test_account_is_opened_again_and_no_session_comes_back(people: People) -> None:
    alices = browser_of(people.alice)
    deactivate_person(user=people.alice, actor=people.erin)
    before = offered(people.erin, people.alice)

    answer = send(people.erin, people.alice, "reopen")

    assert before == ["reopen"]
    assert "The account is open again." in answer.content.decode()
    assert again(people.alice).is_active
    assert offered(people.erin, people.alice) == ["close"]
    assert alices.get("/control/")["Location"].startswith("/auth/sign-in")
    assert told()[1:] == [("account opened", people.erin.pk, str(people.alice.pk))]


@pytest.mark.parametrize(
    ("who", "whom", "status"),
    [
        ("bob", "alice", 403),
        ("alice", "alice", 403),
        ("charlie", "alice", 404),
        ("bob", "erin", 404),
        ("dora", "alice", 404),
    ],
)
@pytest.mark.parametrize("what", ["close", "reopen"])
def test_nobody_without_the_permission_is_offered_it_or_may(
    people: People, who: str, whom: str, status: int, what: str
) -> None:
    asker, user = getattr(people, who), getattr(people, whom)
    if what == "reopen" and asker != user:
        User.objects.filter(pk=user.pk).update(is_active=False)
    before = again(user).is_active

    assert offered(asker, user) == []
    assert send(asker, user, what).status_code == status
    assert again(user).is_active is before
    assert told() == []


def test_nobody_without_the_permission_may_control(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service asks for rank alone of who holds nothing: the page has to ask for the permission."""
    nobody = make_user(name="Nobody")
    give_own_role(people.alice, "users:view")
    monkeypatch.setattr("tenants.views.people._may_close", lambda asker, found: True)

    send(people.alice, nobody)

    assert not again(nobody).is_active


@pytest.mark.parametrize("what", ["close", "reopen"])
def test_chain_may_be_given_the_permission_for_its_own(people: People, what: str) -> None:
    give_own_role(people.bob, "users:change", chain=people.chain)
    User.objects.filter(pk=people.alice.pk).update(is_active=what == "close")

    assert offered(people.bob, people.alice) == [what]
    assert send(people.bob, people.alice, what).status_code == 200
    assert again(people.alice).is_active is (what == "reopen")


@pytest.mark.parametrize("what", ["close", "reopen"])
def test_person_of_two_chains_is_closed_by_neither(people: People, what: str) -> None:
    """They hold something where the asker may not do this; whoever tries it nevertheless is told on the page."""
    give_own_role(people.bob, "users:change", chain=people.chain)
    make_grant(user=people.alice, role="customer", branch=people.strange_branch)
    User.objects.filter(pk=people.alice.pk).update(is_active=what == "close")

    answer = send(people.bob, people.alice, what)

    assert offered(people.bob, people.alice) == []
    assert (answer.status_code, answer.context["grants"][0]["grant"].user_id) == (400, people.alice.pk)
    assert "They hold something where you may not do this." in answer.content.decode()
    assert again(people.alice).is_active is (what == "close")


def test_whoever_is_above_is_not_closed(people: People) -> None:
    """Support may change people, but none who may do more."""
    helper = make_user(name="Helper")
    make_grant(user=helper, role="support")

    answer = send(helper, people.erin)

    assert (offered(helper, people.erin), offered(helper, people.dora)) == ([], ["close"])
    assert answer.status_code == 400
    assert "This person may do more than you may." in answer.content.decode()
    assert again(people.erin).is_active


def test_nobody_closes_their_own_account(people: People) -> None:
    answer = send(people.erin, people.erin)

    assert offered(people.erin, people.erin) == []
    assert answer.status_code == 400
    assert "You can&#x27;t close your own account." in answer.content.decode()
    assert again(people.erin).is_active


def test_last_manager_is_not_closed(people: People) -> None:
    """By one whose own role ends."""
    for_now = make_user(name="For now")
    make_grant(user=for_now, role="manager", expires_at=timezone.now() + timedelta(days=1))

    answer = send(for_now, people.erin)

    assert answer.status_code == 400
    assert "This is the last manager." in answer.content.decode()
    assert again(people.erin).is_active


def test_erased_person_is_not_offered_to_be_opened(people: People) -> None:
    User.objects.filter(pk=people.dora.pk).update(is_active=False, erased_at=timezone.now())

    assert offered(people.erin, people.dora) == []
    send(people.erin, people.dora, "reopen")
    assert not again(people.dora).is_active


def test_looking_closes_nothing(people: People) -> None:
    assert browser_of(people.erin).get(f"{page_of(people.alice)}/close").status_code == 405
    assert again(people.alice).is_active
