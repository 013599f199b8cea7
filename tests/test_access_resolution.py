"""What somebody holds is kept by version: no query while nothing changed, and never a moment too long."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants import access
from tenants.models import Branch, Grant, Role, User
from tenants.services import (
    deactivate_person,
    grant_role,
    reactivate_person,
    revoke_grant,
    sweep_expired_grants,
    update_role,
)
from tenants.tests.factories import People, make_people

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def people() -> Iterator[People]:
    access._kept.clear()
    yield make_people()
    access._kept.clear()


def asks(user: User) -> tuple[bool, int]:
    """Whether the next request of this person, in a process that served them before, sees a branch; and its queries."""
    now = User.objects.get(pk=user.pk)
    with CaptureQueriesContext(connection) as queries:
        sees = bool(access.reach(now, "branches:view").branches)
    return sees, len(queries)


def _take(people: People) -> None:
    revoke_grant(grant=Grant.objects.get(user=people.alice), actor=people.erin)


def _run_out(people: People) -> None:
    Grant.objects.filter(user=people.alice).update(expires_at=timezone.now() - timedelta(seconds=1))
    sweep_expired_grants()


def _empty_role(people: People) -> None:
    update_role(role=Role.objects.get(code="branch_manager"), name="B", permissions=[], actor=people.erin)


def _close(people: People) -> None:
    deactivate_person(user=people.alice, actor=people.erin)


CHANGES: dict[str, Callable[[People], None]] = {
    "grant taken": _take,
    "grant ran out": _run_out,
    "role emptied": _empty_role,
    "account closed": _close,
}


def test_held_grants_cost_one_query_and_then_none(people: People) -> None:
    assert [asks(people.alice) for _ in range(3)] == [(True, 1), (True, 0), (True, 0)]


@pytest.mark.parametrize("change", CHANGES)
def test_next_request_knows_of_the_change(people: People, change: str) -> None:
    asks(people.alice)

    CHANGES[change](people)

    sees, queries = asks(people.alice)
    assert (sees, queries <= 1) == (False, True)


@pytest.mark.parametrize("change", ["grant taken", "grant ran out", "role emptied"])
def test_next_request_would_not_know_control(people: People, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the version is not written anew, another process goes on with what it kept: the test above can fail."""
    monkeypatch.setattr(access, "rights_changed", lambda *user_ids: None)
    asks(people.alice)

    CHANGES[change](people)

    assert asks(people.alice) == (True, 0)


def test_given_grant_counts_with_the_next_request(people: People) -> None:
    assert asks(people.dora) == (False, 1)

    grant_role(user=people.dora, role="branch_manager", branch=people.branch, actor=people.erin)

    assert asks(people.dora) == (True, 1)


def test_opened_account_holds_what_it_held(people: People) -> None:
    _close(people)
    assert asks(people.alice)[0] is False

    reactivate_person(user=User.objects.get(pk=people.alice.pk), actor=people.erin)

    assert asks(people.alice)[0] is True


def test_kept_grant_ends_on_time_without_anybody_sweeping(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    end = timezone.now() + timedelta(hours=1)
    branch = Branch.objects.get(pk=people.branch.pk)
    grant_role(user=people.alice, role="branch_manager", branch=branch, expires_at=end, actor=people.erin)
    assert asks(people.alice) == (True, 1)

    monkeypatch.setattr("tenants.access.timezone.now", lambda: end)

    assert asks(people.alice) == (False, 0)


def test_change_that_was_rolled_back_poisons_nothing(people: People) -> None:
    asks(people.alice)

    class Undone(Exception):
        pass

    def change_look_and_undo() -> None:
        with transaction.atomic():
            _take(people)
            assert asks(people.alice)[0] is False
            raise Undone

    with pytest.raises(Undone):
        change_look_and_undo()

    assert asks(people.alice) == (True, 0)


def test_change_that_was_rolled_back_would_poison_control(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one version for ever, and kept inside the transaction too, what never was is believed afterwards."""
    monkeypatch.setattr(access, "rights_changed", lambda *user_ids: access._kept.clear())
    monkeypatch.setattr("tenants.access.connection", type("NoTransaction", (), {"in_atomic_block": False}))

    with transaction.atomic():
        _take(people)
        asks(people.alice)
        transaction.set_rollback(True)

    assert asks(people.alice) == (False, 0)


def test_no_more_is_kept_than_fits(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_MOST_KEPT", 2)

    for user in (people.alice, people.bob, people.charlie, people.bob):
        asks(user)

    assert [key[0] for key in access._kept] == [people.charlie.pk, people.bob.pk]
