"""Acting as another person: whom, for how long, what stays closed, and what is told about it."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from carts.tests.factories import make_cart
from core.errors import NotAllowed
from core.models import AuditEntry
from tenants.models import Grant, Role, User
from tenants.powers import Powers
from tenants.requester import ACTING_AS
from tenants.services import create_sign_in_link, deactivate_person
from tenants.services.second_factor import reset_second_factor
from tenants.services.sessions import issue_access_token
from tenants.tests.factories import People, make_grant, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def erin(people: People) -> Client:
    """The platform manager's browser."""
    client = Client()
    sign_in(client, people.erin)
    return client


def act(client: Client, user: User, reason: str = "A call about a stuck cart") -> Any:
    return client.post(f"/auth/act-as/{user.pk}", {"reason": reason})


def run_out(client: Client) -> None:
    session = client.session
    session[ACTING_AS] = {**session[ACTING_AS], "until": (timezone.now() - timedelta(seconds=1)).isoformat()}
    session.save()


def told(action: str) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action=action).order_by("pk"))


def test_acting_shows_what_the_person_sees_with_a_banner_on_every_page(erin: Client, people: People) -> None:
    make_cart(branch=people.branch)

    begun = act(erin, people.alice)

    assert (begun.status_code, begun["Location"]) == (302, "/control/")
    for path in ("/control/", f"/control/branches/{people.branch.pk}", "/me/", "/control/people", "/no-such-page"):
        page = erin.get(path)
        assert page.wsgi_request.user == people.alice, path
        assert "banner--acting" in page.content.decode(), path
        assert "Alice" in page.content.decode(), path
    assert erin.get(f"/control/branches/{people.strange_branch.pk}").status_code == 404
    assert erin.get("/admin/").status_code == 403


def test_banner_is_on_the_admin_too(erin: Client, people: People) -> None:
    helper = make_user(name="Hugo")
    make_grant(user=helper, role="support")

    act(erin, helper)

    page = erin.get("/admin/")
    assert (page.status_code, "banner--acting" in page.content.decode()) == (200, True)


def test_whatever_is_done_is_told_with_who_was_behind(erin: Client, people: People) -> None:
    act(erin, people.bob)

    given = {"role": "branch_manager", "place": f"branch:{people.branch.pk}"}
    assert erin.post(f"/control/people/{people.alice.pk}/grants", given | {"until": "2099-01-01"}).status_code == 302

    entry = told("changed")[-1]
    assert (entry.actor_id, entry.behind_id) == (people.bob.pk, people.erin.pk)


def test_begin_and_end_are_told_with_the_reason_in_the_audit_of_their_chain(erin: Client, people: People) -> None:
    act(erin, people.alice, reason="Looking for a lost rental")
    left = erin.post("/auth/leave")

    begun, ended = told("acting begun"), told("acting ended")
    assert left.status_code == 302
    for entry in (*begun, *ended):
        assert (entry.actor_id, entry.entity_id, entry.chain_id, entry.reason) == (
            people.erin.pk,
            str(people.alice.pk),
            people.chain.pk,
            "Looking for a lost rental",
        )
    assert (len(begun), len(ended)) == (1, 1)
    assert erin.get("/control/people").wsgi_request.user == people.erin


def test_acting_runs_out_and_that_is_told_once(erin: Client, people: People) -> None:
    act(erin, people.alice)
    run_out(erin)

    for _ in range(2):
        assert erin.get("/control/").wsgi_request.user == people.erin

    assert len(told("acting ran out")) == 1
    assert ACTING_AS not in erin.session


def test_what_was_sent_as_somebody_is_not_done_as_oneself(erin: Client, people: People) -> None:
    grant = make_grant(user=make_user(), role="branch_manager", branch=people.branch)
    take = f"/control/people/{grant.user_id}/grants/{grant.pk}/take"
    act(erin, people.alice)
    run_out(erin)

    refused = erin.post(take)

    assert (refused.status_code, "You are yourself again" in refused.content.decode()) == (403, True)
    assert Grant.objects.filter(pk=grant.pk).exists()
    assert len(told("acting ran out")) == 1
    assert erin.post(take).status_code == 302
    assert not Grant.objects.filter(pk=grant.pk).exists()


def test_one_leaves_and_signs_out_though_acting_ran_out(erin: Client, people: People) -> None:
    for way_out in ("/auth/leave", "/auth/sign-out"):
        act(erin, people.alice)
        run_out(erin)
        assert erin.post(way_out).status_code == 302, way_out
    assert not erin.get("/auth/home").wsgi_request.user.is_authenticated


def test_what_was_sent_as_somebody_would_be_done_control(
    erin: Client, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.middleware._meant_as_another", lambda request: None)
    grant = make_grant(user=make_user(), role="branch_manager", branch=people.branch)
    act(erin, people.alice)
    run_out(erin)

    erin.post(f"/control/people/{grant.user_id}/grants/{grant.pk}/take")

    assert not Grant.objects.filter(pk=grant.pk).exists()


def who_31_minutes_later(erin: Client, people: People, monkeypatch: pytest.MonkeyPatch) -> User:
    act(erin, people.alice)
    later = timezone.now() + timedelta(minutes=31)
    monkeypatch.setattr(timezone, "now", lambda: later)
    return erin.get("/control/").wsgi_request.user


def test_acting_ends_after_half_an_hour(erin: Client, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    assert who_31_minutes_later(erin, people, monkeypatch) == people.erin


def test_acting_ends_after_half_an_hour_control(erin: Client, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a later end the same session goes on as alice."""
    monkeypatch.setattr("tenants.requester.ACTING_TIME", timedelta(hours=1))

    assert who_31_minutes_later(erin, people, monkeypatch) == people.alice


@pytest.mark.parametrize(
    "path",
    [
        "/auth/security",
        "/auth/sessions",
        "/auth/tokens",
        "/auth/2fa",
        "/auth/2fa/app",
        "/auth/password",
        "/auth/email",
        "/auth/google/connections",
        "/auth/invitation/" + "x" * 43,
        "/auth/see-as",
        "/api/auth/tokens",
    ],
)
def test_what_is_theirs_alone_stays_closed(erin: Client, people: People, path: str) -> None:
    act(erin, people.alice)

    answers = [erin.get(path), erin.post(path)]

    assert {answer.status_code for answer in answers} == {403}


def test_what_is_theirs_alone_would_open_control(erin: Client, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the list of private pages alice's security page opens: the test above can fail."""
    monkeypatch.setattr("tenants.middleware.PRIVATE", ("/nowhere",))
    act(erin, people.alice)

    assert erin.get("/auth/security").status_code == 200


def test_nobody_acts_twice_as_themselves_or_as_a_closed_account(erin: Client, people: People) -> None:
    deactivate_person(user=people.charlie, actor=people.erin)

    assert act(erin, people.erin).status_code == 400
    assert act(erin, people.charlie).status_code == 400
    act(erin, people.alice)
    assert act(erin, people.bob).status_code == 403  # below /auth/, which is alice's own
    assert erin.get("/control/").wsgi_request.user == people.alice


def test_a_reason_must_be_given(erin: Client, people: People) -> None:
    assert act(erin, people.alice, reason=" ").status_code == 400
    assert erin.get("/control/").wsgi_request.user == people.erin


def test_nobody_acts_as_whom_they_do_not_outrank(people: People) -> None:
    helper, client = make_user(), Client()
    Role.objects.filter(code="support").update(permissions=["users:view", "users:impersonate"])
    make_grant(user=helper, role="support")
    sign_in(client, helper)

    for other in (people.alice, people.erin):
        assert act(client, other).status_code == 400
    begun = act(client, people.dora)

    assert (begun.status_code, client.get("/me/").wsgi_request.user) == (302, people.dora)


def test_nobody_would_be_safe_without_ranks_control(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ranks support becomes the platform's manager: the test above can fail."""
    monkeypatch.setattr("tenants.access.outranks", lambda *asked: True)
    monkeypatch.setattr("tenants.access.may_act_as", lambda actor, other: True)
    helper, client = make_user(), Client()
    Role.objects.filter(code="support").update(permissions=["users:view", "users:impersonate"])
    make_grant(user=helper, role="support")
    sign_in(client, helper)

    act(client, people.erin)

    assert client.get("/control/").wsgi_request.user == people.erin


@pytest.fixture
def chains_helper(people: People) -> Client:
    """The browser of somebody who may act as whoever belongs to our chain."""
    helper, client = make_user(), Client()
    role = Role.objects.create(code="chain-helper", name="Helper", permissions=["users:view", "users:impersonate"])
    Grant.objects.create(user=helper, role=role, chain=people.chain)
    sign_in(client, helper)
    return client


def test_nobody_acts_as_a_customer_who_rents_elsewhere_too(people: People, chains_helper: Client) -> None:
    make_grant(user=people.dora, role="customer", branch=people.branch)
    theirs = make_grant(user=people.dora, role="customer", branch=people.strange_branch)

    refused = act(chains_helper, people.dora)
    theirs.delete()
    begun = act(chains_helper, people.dora)
    make_grant(user=people.dora, role="customer", branch=people.strange_branch)
    ended = chains_helper.get("/me/")

    assert (refused.status_code, begun.status_code) == (400, 302)
    assert ended.wsgi_request.user != people.dora


def test_nobody_would_be_kept_from_it_control(
    people: People, chains_helper: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.access.may_act_as", lambda actor, other: True)
    monkeypatch.setattr("tenants.access.outranks", lambda *asked: True)
    for branch in (people.branch, people.strange_branch):
        make_grant(user=people.dora, role="customer", branch=branch)

    act(chains_helper, people.dora)

    assert chains_helper.get("/me/").wsgi_request.user == people.dora


@pytest.mark.parametrize(("who", "status"), [("alice", 403), ("bob", 403), ("dora", 404)])
def test_nobody_acts_without_the_permission(people: People, who: str, status: int) -> None:
    client = Client()
    sign_in(client, getattr(people, who))

    assert act(client, people.alice).status_code == status


def test_acting_ends_with_the_rights_the_account_and_the_session_of_who_does_it(erin: Client, people: People) -> None:
    other, second = make_user(), Client()
    make_grant(user=other, role="manager")
    sign_in(second, other)
    for client in (erin, second):
        act(client, people.alice)

    Grant.objects.filter(user=people.erin).delete()
    User.objects.filter(pk=people.erin.pk).update(access_version=people.alice.pk)
    deactivate_person(user=other, actor=make_manager())

    assert erin.get("/control/").wsgi_request.user == people.erin
    assert second.get("/control/").status_code == 302
    assert second.get("/me/").wsgi_request.user.is_anonymous


def make_manager() -> User:
    user = make_user()
    make_grant(user=user, role="manager")
    return user


def test_acting_ends_when_the_person_gets_more_or_is_closed(erin: Client, people: People) -> None:
    act(erin, people.alice)

    deactivate_person(user=people.alice, actor=people.erin)

    assert erin.get("/control/").wsgi_request.user == people.erin
    assert len(told("acting ran out")) == 1


def test_session_of_the_person_lives_on(erin: Client, people: People) -> None:
    own = Client()
    sign_in(own, people.alice)

    act(erin, people.alice)
    erin.post("/auth/sign-out")

    assert own.get("/control/").wsgi_request.user == people.alice
    assert erin.get("/control/").status_code == 302


def test_token_can_not_act(people: People) -> None:
    client = Client(headers={"Authorization": f"Bearer {issue_access_token(people.erin, second_factor=True)}"})

    answer = act(client, people.alice)

    assert (answer.status_code, answer["Location"].startswith("/auth/sign-in")) == (302, True)
    assert told("acting begun") == []


def test_acting_is_not_begun_when_it_can_not_be_told(
    erin: Client,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    def broken(*args: object, **more: object) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr("core.audit.record", broken)
    erin.raise_request_exception = False

    assert act(erin, people.alice).status_code == 500
    assert ACTING_AS not in erin.session


@pytest.mark.parametrize(
    "do",
    [
        lambda user, actor: create_sign_in_link(user=user, next_path="/", actor=actor),
        lambda user, actor: reset_second_factor(user=user, actor=actor),
        lambda user, actor: deactivate_person(user=user, actor=actor),
    ],
    ids=["link", "second factor", "account"],
)
def test_nobody_is_taken_over_from_behind_somebody_else(people: People, do: Any) -> None:
    """As another manager one could make a link for oneself, or lift one's own second factor."""
    other = make_manager()
    other.powers = Powers(behind=people.erin.pk)

    with pytest.raises(NotAllowed):
        do(people.erin, other)
    other.powers = Powers()
    do(people.erin, other)
