from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Barrier, Event

import jwt
import pytest
from django.db.models import F, QuerySet
from django.test import Client
from django.utils import timezone

from core.models import AuditEntry
from core.tests.race import lock_no_rows, race, race_each
from core.tokens import sign
from tenants.models import RefreshToken, User
from tenants.selectors import branches_visible_to
from tenants.services import end_access, issue_tokens, refresh_tokens, sessions, sign_out, sign_out_everywhere
from tenants.services.sessions import SignedOut, TokenPair, issue_access_token, proved_at, user_of_token
from tenants.tests.factories import People, make_grant, make_people, make_phone, make_user
from tenants.tests.signing_in import sign_in


def refresh(token: str) -> TokenPair | None:
    try:
        return refresh_tokens(refresh=token)
    except SignedOut:
        return None


@contextmanager
def time_machine(back: timedelta) -> Iterator[None]:
    """What is issued inside was issued so long ago."""
    real = timezone.now
    with pytest.MonkeyPatch.context() as past:
        past.setattr(sessions.timezone, "now", lambda: real() - back)
        yield


def lifetime(token: str) -> timedelta:
    claims = jwt.decode(token, options={"verify_signature": False})
    return timedelta(seconds=claims["exp"] - claims["iat"])


@pytest.mark.parametrize(
    ("who", "access", "renewable"),
    [
        ("dora", timedelta(days=30), timedelta(days=90)),
        ("alice", timedelta(hours=1), timedelta(days=7)),
        ("bob", timedelta(hours=1), timedelta(days=7)),
        ("erin", timedelta(hours=1), timedelta(days=7)),
    ],
)
def test_customers_keep_tokens_long_and_staff_do_not(
    people: People, who: str, access: timedelta, renewable: timedelta
) -> None:
    pair = issue_tokens(getattr(people, who), second_factor=True)

    assert lifetime(pair.access) == access
    assert abs(RefreshToken.objects.get().expires_at - timezone.now() - renewable) < timedelta(seconds=5)


def test_access_token_stands_for_its_person(people: People) -> None:
    assert user_of_token(issue_access_token(people.alice, second_factor=True)) == people.alice


def test_access_token_dies_with_the_account_and_with_its_version(people: People) -> None:
    token = issue_access_token(people.alice, second_factor=True)

    User.objects.filter(pk=people.alice.pk).update(token_version=F("token_version") + 1)
    raised = user_of_token(token)
    newer = issue_access_token(User.objects.get(pk=people.alice.pk), second_factor=True)
    User.objects.filter(pk=people.alice.pk).update(is_active=False)

    assert (raised, user_of_token(newer)) == (None, None)


@pytest.mark.django_db
@pytest.mark.parametrize("subject", ["not-a-uuid", "", "00000000-0000-0000-0000-000000000000"])
def test_access_token_of_nobody_is_nobodys(subject: str) -> None:
    now = timezone.now()

    token = sign(kind="person", subject=subject, issued_at=now, expires_at=now + timedelta(hours=1), ver=1, sf=1)

    assert user_of_token(token) is None


@pytest.mark.parametrize(
    "wrong",
    [{"ver": None}, {"ver": "x"}, {"ver": 2}, {"ver": []}, {"sf": "drop"}, {"fam": 7}, {"fam": "x"}, {"fam": "0" * 32}],
    ids=str,
)
def test_access_token_with_claims_that_do_not_fit_is_nobodys(people: People, wrong: dict[str, object]) -> None:
    now = timezone.now()
    claims = {name: value for name, value in {"ver": 1, "sf": 1, **wrong}.items() if value != "drop"}
    right, token = (
        sign(kind="person", subject=people.erin.pk, issued_at=now, expires_at=now + timedelta(hours=1), **each)
        for each in ({"ver": 1, "sf": 1}, claims)
    )

    assert user_of_token(right) == people.erin
    assert user_of_token(token) is None


def branches_of(token: str) -> set[object]:
    user = user_of_token(token)
    assert user is not None
    return {branch.pk for branch in branches_visible_to(user)}


@pytest.mark.parametrize("who", ["alice", "bob", "erin"])
def test_token_without_a_second_factor_is_worth_a_customers(people: People, who: str) -> None:
    user = getattr(people, who)

    assert branches_of(issue_tokens(user, second_factor=False).access) == set()
    assert people.branch.pk in branches_of(issue_tokens(user, second_factor=True).access)


@pytest.mark.parametrize("second_factor", [True, False])
def test_customers_long_token_is_no_token_of_staff_once_they_are_staff(people: People, second_factor: bool) -> None:
    """One without a factor never; one with a factor no longer than a token of staff would live."""
    user = make_user()
    with time_machine(timedelta(minutes=59)):
        young = issue_tokens(user, second_factor=second_factor).access
    with time_machine(timedelta(minutes=61)):
        old = issue_tokens(user, second_factor=second_factor).access
    make_grant(user=user, role="branch_manager", branch=people.branch)

    assert branches_of(young) == ({people.branch.pk} if second_factor else set())
    assert branches_of(old) == set()


def test_customers_long_token_is_no_token_of_staff_once_they_are_staff_control(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Believing the claim alone leaves a manager's token of 30 days."""
    user = make_user()
    with time_machine(timedelta(days=29)):
        old = issue_tokens(user, second_factor=True).access
    make_grant(user=user, role="branch_manager", branch=people.branch)
    monkeypatch.setattr(sessions, "_has_second_factor", lambda claims, user: bool(claims["sf"]))

    assert branches_of(old) == {people.branch.pk}


def test_family_without_a_second_factor_stays_so_when_a_customer_becomes_staff(people: People) -> None:
    user = make_user()
    pair = issue_tokens(user, second_factor=False)
    make_grant(user=user, role="branch_manager", branch=people.branch)

    renewed = refresh_tokens(refresh=pair.refresh)

    assert (branches_of(renewed.access), lifetime(renewed.access)) == (set(), timedelta(hours=1))
    assert branches_of(refresh_tokens(refresh=renewed.refresh).access) == set()


def test_customers_family_with_a_factor_is_none_of_staff_once_they_are_staff(people: People) -> None:
    """A refresh makes the access token young, not the factor."""
    user = make_user()
    with time_machine(timedelta(days=20)):
        pair = issue_tokens(user, second_factor=True)
    make_grant(user=user, role="branch_manager", branch=people.branch)

    renewed = refresh_tokens(refresh=pair.refresh)

    assert branches_of(renewed.access) == set()
    assert branches_of(refresh_tokens(refresh=renewed.refresh).access) == set()


def test_customers_family_with_a_factor_is_none_of_staff_once_they_are_staff_control(people: People) -> None:
    user = make_user()
    pair = issue_tokens(user, second_factor=True)
    make_grant(user=user, role="branch_manager", branch=people.branch)
    RefreshToken.objects.update(trusted=True)

    assert branches_of(refresh_tokens(refresh=pair.refresh).access) == {people.branch.pk}


@pytest.mark.parametrize(
    ("who", "days", "renewed"), [("alice", 29, True), ("alice", 31, False), ("erin", 31, False), ("dora", 400, True)]
)
def test_staff_sign_in_anew_after_a_month_however_often_they_refresh(
    people: People, who: str, days: int, renewed: bool
) -> None:
    user = getattr(people, who)
    refresh_token = issue_tokens(user, second_factor=True).refresh
    for _ in range(3):
        refresh_token = refresh_tokens(refresh=refresh_token).refresh

    RefreshToken.objects.update(began_at=F("began_at") - timedelta(days=days))

    assert (refresh(refresh_token) is not None) == renewed


def test_customers_old_family_is_over_once_they_are_staff(people: People) -> None:
    user = make_user()
    with time_machine(timedelta(days=80)):
        pair = issue_tokens(user, second_factor=True)
    make_grant(user=user, role="branch_manager", branch=people.branch)

    assert refresh(pair.refresh) is None


@pytest.mark.parametrize("refreshed", [0, 2])
def test_access_token_tells_when_its_bearer_signed_in(people: People, refreshed: int) -> None:
    with time_machine(timedelta(minutes=30)):
        pair = issue_tokens(people.alice, second_factor=True)
    for _ in range(refreshed):
        pair = refresh_tokens(refresh=pair.refresh)

    found = proved_at(pair.access)

    assert found is not None
    assert abs(timezone.now() - timedelta(minutes=30) - found) < timedelta(minutes=1)
    assert proved_at("x") is None


def test_access_token_dies_with_its_family(people: People) -> None:
    pair, other = (issue_tokens(people.alice, second_factor=True) for _ in range(2))

    sign_out(user=people.alice, access_token=pair.access)

    assert (user_of_token(pair.access), refresh(pair.refresh)) == (None, None)
    assert user_of_token(other.access) == people.alice


def test_access_token_of_a_stolen_family_dies(people: People) -> None:
    pair = issue_tokens(people.alice, second_factor=True)
    renewed = refresh_tokens(refresh=pair.refresh)
    refresh(pair.refresh)

    assert (user_of_token(pair.access), user_of_token(renewed.access)) == (None, None)


def test_somebody_elses_refresh_token_is_not_ended(people: People) -> None:
    theirs = issue_tokens(people.bob, second_factor=True)

    sign_out(user=people.alice, access_token=theirs.access, refresh=theirs.refresh)

    assert refresh(theirs.refresh) is not None


def test_signing_out_everywhere_leaves_nothing_signed_in(people: People, client: Client) -> None:
    pair = issue_tokens(people.alice, second_factor=True)
    sign_in(client, people.alice)

    sign_out(user=people.alice, everywhere=True)

    assert (user_of_token(pair.access), refresh(pair.refresh)) == (None, None)
    assert client.get("/api/branches").status_code == 401
    assert RefreshToken.objects.count() == 0


def test_nobody_gets_tokens_who_was_signed_out_meanwhile(people: People) -> None:
    """Their password was compared before, their tokens are written after."""
    stale = User.objects.get(pk=people.alice.pk)
    sign_out_everywhere(people.alice.pk)

    with pytest.raises(SignedOut):
        issue_tokens(stale, second_factor=True)


def refreshing_while_access_ends(people: People) -> TokenPair | None:
    """A refresh whose successor is written while the person's access is being ended; what lives on."""
    pair = issue_tokens(people.alice, second_factor=True)
    successors: list[TokenPair | None] = []
    ending = Barrier(2)
    issue = sessions._issue

    def slow_issue(*arguments: object, **named: object) -> TokenPair:
        ending.wait(10)
        # The other one has either begun to wait for us, or is through with it.
        done.wait(0.3)
        return issue(*arguments, **named)

    def end() -> None:
        ending.wait(10)
        end_access(people.alice.pk, actor="test")
        done.set()

    done = Event()
    with pytest.MonkeyPatch.context() as slow:
        slow.setattr(sessions, "_issue", slow_issue)
        race_each([lambda: successors.append(refresh(pair.refresh)), end])
    found = successors[0]
    return refresh(found.refresh) if found else None


@pytest.mark.django_db(transaction=True)
def test_refresh_token_does_not_slip_past_the_end_of_access() -> None:
    assert refreshing_while_access_ends(make_people()) is None


@pytest.mark.django_db(transaction=True)
def test_refresh_token_does_not_slip_past_the_end_of_access_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without locks the successor is written after all others were deleted, and lives."""
    lock_no_rows(monkeypatch)

    assert refreshing_while_access_ends(make_people()) is not None


@pytest.mark.django_db
def test_refresh_token_is_replaced_by_its_successor() -> None:
    first = issue_tokens(make_user(phone=make_phone()), second_factor=True)
    second = refresh_tokens(refresh=first.refresh)
    third = refresh_tokens(refresh=second.refresh)

    assert len({first.refresh, second.refresh, third.refresh}) == 3
    assert user_of_token(third.access) is not None


@pytest.mark.django_db
def test_refresh_token_that_comes_twice_ends_its_family_and_no_other() -> None:
    user = make_user()
    stolen, other_phone = issue_tokens(user, second_factor=True), issue_tokens(user, second_factor=True)
    successor = refresh_tokens(refresh=stolen.refresh)

    assert refresh(stolen.refresh) is None
    assert refresh(successor.refresh) is None
    assert refresh(other_phone.refresh) is not None
    assert AuditEntry.objects.values_list("action", "entity_id").get() == ("refresh token came twice", str(user.pk))


@pytest.mark.django_db(transaction=True)
def test_refresh_token_used_twice_at_once_leaves_no_family() -> None:
    pair = issue_tokens(make_user(), second_factor=True)

    answers = race(lambda: refresh(pair.refresh), times=6)

    successors = [answer for answer in answers if answer is not None]
    assert len(successors) == 1
    assert refresh(successors[0].refresh) is None
    assert not RefreshToken.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_refresh_token_used_twice_at_once_leaves_no_family_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the row's lock several get successors that live on."""
    pair = issue_tokens(make_user(), second_factor=True)
    everybody_read = Barrier(6)
    first = QuerySet.first

    def first_together(rows: QuerySet[RefreshToken]) -> RefreshToken | None:
        found = first(rows)
        if rows.model is RefreshToken:
            everybody_read.wait(10)
        return found

    with monkeypatch.context() as bug:
        lock_no_rows(bug)
        bug.setattr(QuerySet, "first", first_together)
        answers = race(lambda: refresh(pair.refresh), times=6)

    assert [refresh(answer.refresh) for answer in answers].count(None) == 0


@pytest.mark.django_db
@pytest.mark.parametrize("change", [{"expires_at": timezone.now() - timedelta(seconds=1)}, {"user__is_active": False}])
def test_refresh_token_dies_of_age_and_with_the_account(change: dict[str, object]) -> None:
    pair = issue_tokens(make_user(), second_factor=True)
    if "user__is_active" in change:
        User.objects.update(is_active=False)
    else:
        RefreshToken.objects.update(**change)

    assert refresh(pair.refresh) is None


@pytest.mark.django_db
@pytest.mark.parametrize("token", ["", "x", "\x00", "א", "a" * 10_000])
def test_refresh_token_nobody_issued_is_refused(token: str) -> None:
    assert refresh(token) is None


@pytest.mark.django_db
def test_database_holds_no_refresh_token_that_works() -> None:
    pair = issue_tokens(make_user(), second_factor=True)

    assert pair.refresh not in str(RefreshToken.objects.values())
    assert refresh(RefreshToken.objects.get().token_hash) is None


def test_access_token_is_no_refresh_token_and_the_other_way_round(people: People) -> None:
    pair = issue_tokens(people.dora, second_factor=True)

    assert refresh(pair.access) is None
    assert user_of_token(pair.refresh) is None
