"""Giving and taking roles: what the audit tells of it, who stays, and what happens at the same moment."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

import tenants.services.people as service
from core.errors import DomainError, NotAllowed
from core.models import AuditEntry
from core.tests.race import lock_no_rows, lock_waiters, meet_before, race_each, wait_for
from tenants.models import BrowserSession, Chain, Grant, PersonalToken, RefreshToken, Role, SupportAccess
from tenants.services import deactivate_person, grant_role, issue_tokens, revoke_grant, sweep_expired_grants
from tenants.services.shops import delete_chain
from tenants.services.support_access import open_support_access
from tenants.tests.factories import People, again, make_chain, make_grant, make_people, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db

TOMORROW = timedelta(days=1)


def told(action: str) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action=action).order_by("pk"))


def in_a_day() -> datetime:
    return timezone.now() + TOMORROW


# When a role ends


def test_end_of_a_role_is_told_before_and_after(people: People) -> None:
    user, end = make_user(), in_a_day()
    given = {"user": user, "role": "branch_manager", "branch": people.branch, "actor": people.bob}

    grant_role(**given, expires_at=end)
    for _ in range(2):
        grant_role(**given, expires_at=None)

    (first,), (second,) = told("granted"), told("changed")
    about = {"user": str(user.pk), "role": "branch_manager"}
    assert first.after == {**about, "expires_at": _written(end)}
    assert (second.before, second.after) == ({"expires_at": _written(end)}, {**about, "expires_at": None})
    assert {row.branch_id for row in (first, second)} == {people.branch.pk}


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_role_given_again_ends_as_said_the_last_time(people: People) -> None:
    late, early = in_a_day(), timezone.now() + timedelta(hours=1)
    for end in (late, early):
        kept = grant_role(user=people.dora, role="branch_manager", branch=people.branch, expires_at=end)

    assert Grant.objects.get(pk=kept.pk).expires_at == early


# The last manager of the platform


def take(people: People) -> object:
    return revoke_grant(grant=people.erin.grants.get(), actor=people.erin)


def let_end(people: People) -> object:
    return grant_role(user=people.erin, role="manager", expires_at=in_a_day(), actor=people.erin)


def close(people: People) -> object:
    boss = make_user()
    make_grant(user=boss, role=Role.objects.create(code="owner", name="Owner", permissions=["*"]).code)
    return deactivate_person(user=people.erin, actor=again(boss))


@pytest.mark.parametrize("go", [take, let_end, close])
@pytest.mark.parametrize("other", ["nobody", "closed", "until tomorrow"])
def test_last_manager_stays(people: People, go: Callable[[People], object], other: str) -> None:
    if other != "nobody":
        ends = in_a_day() if other == "until tomorrow" else None
        make_grant(user=make_user(is_active=other != "closed"), role="manager", expires_at=ends)

    with pytest.raises(NotAllowed):
        go(people)

    assert again(people.erin).is_active
    assert people.erin.grants.get().expires_at is None


@pytest.mark.parametrize("go", [take, let_end, close])
def test_manager_goes_where_another_stays(people: People, go: Callable[[People], object]) -> None:
    make_grant(user=make_user(), role="manager")

    go(people)

    left = Grant.objects.filter(user=people.erin, expires_at=None, user__is_active=True)
    assert not left.exists()


def test_pages_say_that_the_last_manager_stays(people: People) -> None:
    client, grant = Client(), people.erin.grants.get()
    sign_in(client, people.erin)
    ends = {"expires_at_0": "2099-01-01", "expires_at_1": "00:00"}

    taken = client.post(f"/control/people/{people.erin.pk}/grants/{grant.pk}/take")
    changed = client.post(reverse("admin:tenants_grant_change", args=[grant.pk]), ends, follow=True)
    deleted = client.post(reverse("admin:tenants_grant_delete", args=[grant.pk]), {"post": "yes"}, follow=True)

    assert taken.status_code == 403
    for page in (taken, changed, deleted):
        assert "This is the last manager" in page.content.decode()
    assert Grant.objects.get(pk=grant.pk).expires_at is None


def _two_managers() -> list[Callable[[], None]]:
    first, second = make_people().erin, make_user()
    make_grant(user=second, role="manager")
    # Each takes their own.
    return [lambda user=user: revoke_grant(grant=user.grants.get(), actor=user) for user in (first, second)]


@pytest.mark.django_db(transaction=True)
def test_of_two_managers_who_go_at_once_one_stays() -> None:
    answers = race_each(_two_managers())

    assert sorted(type(answer).__name__ for answer in answers) == ["NoneType", "NotAllowed"]
    assert Grant.objects.filter(role__code="manager").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_managers_would_both_go_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the locks each sees the other: the test above can fail."""
    lock_no_rows(monkeypatch)
    meet_before(monkeypatch, service, "_take_grant", parties=2)

    race_each(_two_managers())

    assert not Grant.objects.filter(role__code="manager").exists()


# A chain that is no more


def test_roles_of_a_deleted_chain_are_taken_one_by_one(people: People) -> None:
    chain, managers = make_chain(), [make_user(), make_user()]
    for user in managers:
        make_grant(user=user, role="chain_manager", chain=chain)
        sign_in(Client(), user)
        issue_tokens(user, second_factor=True)

    key = chain.pk
    delete_chain(chain=chain, actor=people.erin)

    assert not Chain.objects.filter(pk=key).exists()
    gone = [row for row in told("deleted") if row.entity == "tenants.grant"]
    assert {row.before["user"] for row in gone} == {str(user.pk) for user in managers}
    assert {(row.actor_id, row.chain_id) for row in gone} == {(people.erin.pk, key)}
    for user in managers:
        now = again(user)
        assert (now.token_version, now.access_version != user.access_version) == (user.token_version + 1, True)
    assert not BrowserSession.objects.filter(user__in=managers).exists()
    assert not RefreshToken.objects.filter(user__in=managers).exists()


def test_roles_of_a_chain_with_branches_stay(people: People) -> None:
    with pytest.raises(DomainError):
        delete_chain(chain=people.chain, actor=people.erin)

    assert people.bob.grants.get().chain == people.chain
    assert again(people.bob).token_version == people.bob.token_version
    assert not told("deleted")


# Support access


def test_only_the_access_in_force_ends_with_its_grant(people: People) -> None:
    helper = make_user()
    make_grant(user=helper, role="support")
    old = open_support_access(chain=people.chain, reason="A call", lasts=timedelta(hours=1), actor=again(helper))
    # It ran out, and the clock has not come by yet.
    past = timezone.now() - timedelta(minutes=1)
    SupportAccess.objects.filter(pk=old.pk).update(ends_at=past)
    Grant.objects.filter(pk=old.grant_id).update(expires_at=past)
    new = open_support_access(chain=people.chain, reason="Again", lasts=timedelta(hours=1), actor=again(helper))
    assert new.grant_id == old.grant_id

    revoke_grant(grant=Grant.objects.get(pk=new.grant_id), actor=people.erin)

    assert [row.entity_id for row in told("support access ended")] == [str(new.pk)]
    assert told("support access ended")[0].actor_id == people.erin.pk
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.ended_at, new.in_force) == (None, False)


# Tokens


@pytest.mark.parametrize("by", ["somebody", "the clock"])
def test_tokens_that_end_with_a_role_are_told(people: People, by: str) -> None:
    grant, ends = people.alice.grants.get(), in_a_day()
    made = {"user": people.alice, "scopes": ["carts:view"], "hint": "x"}
    live = PersonalToken.objects.create(**made, name="live", token_hash="l", expires_at=ends)
    PersonalToken.objects.create(**made, name="over", token_hash="o", expires_at=timezone.now() - TOMORROW)
    PersonalToken.objects.create(**made, name="ended", token_hash="e", expires_at=ends, revoked_at=timezone.now())

    if by == "somebody":
        revoke_grant(grant=grant, actor=people.bob)
    else:
        Grant.objects.filter(pk=grant.pk).update(expires_at=timezone.now() - TOMORROW)
        sweep_expired_grants()

    (row,) = told("revoked")
    assert (row.entity, row.entity_id) == ("tenants.personaltoken", str(live.pk))
    assert (row.actor_id, row.actor_name) == ((people.bob.pk, "") if by == "somebody" else (None, "clock"))
    live.refresh_from_db()
    assert live.revoked_at is not None


# At the same moment


def _give_while_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The one who gives has found the row and writes it only when the other has taken it, or waits for them."""
    people, found, taken = make_people(), threading.Event(), threading.Event()
    grant = grant_role(user=people.dora, role="branch_manager", branch=people.branch, expires_at=in_a_day())
    change_end = service._change_end

    def change_late(*arguments: Any) -> None:
        found.set()
        wait_for(lambda: taken.is_set() or lock_waiters() > 0, "the other")
        change_end(*arguments)

    def take() -> None:
        assert found.wait(10)
        revoke_grant(grant=grant, actor=people.erin)
        taken.set()

    monkeypatch.setattr(service, "_change_end", change_late)
    return race_each([lambda: grant_role(user=people.dora, role="branch_manager", branch=people.branch), take])


@pytest.mark.django_db(transaction=True)
def test_role_given_while_it_is_taken_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    given, taken = _give_while_it_is_taken(monkeypatch)

    assert (type(given), taken) == (Grant, None)
    assert not Grant.objects.filter(role__code="branch_manager", user__name="Dora").exists()


@pytest.mark.django_db(transaction=True)
def test_role_given_while_it_is_taken_would_break_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the locks the row is gone when it is written: the test above can fail."""
    lock_no_rows(monkeypatch)

    given, _taken = _give_while_it_is_taken(monkeypatch)

    assert isinstance(given, DatabaseError)


def test_role_taken_twice_is_told_once(people: People) -> None:
    grant = people.alice.grants.get()

    for _ in range(2):
        revoke_grant(grant=Grant(pk=grant.pk, user=grant.user, role=grant.role, branch=grant.branch), actor=people.bob)

    assert len(told("deleted")) == 1
