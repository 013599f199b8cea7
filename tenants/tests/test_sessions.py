from datetime import timedelta
from threading import Barrier

import jwt
import pytest
from django.db.models import F, QuerySet
from django.utils import timezone

from core.tests.race import lock_no_rows, race
from core.tokens import sign
from tenants.models import RefreshToken, User
from tenants.services import issue_tokens, refresh_tokens
from tenants.services.sessions import SignedOut, TokenPair, issue_access_token, user_of_token
from tenants.tests.factories import People, make_phone, make_user


def refresh(token: str) -> TokenPair | None:
    try:
        return refresh_tokens(refresh=token)
    except SignedOut:
        return None


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

    token = sign(kind="person", subject=subject, issued_at=now, expires_at=now + timedelta(hours=1), ver=1)

    assert user_of_token(token) is None


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
