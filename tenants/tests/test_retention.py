"""Whoever came lately is not forgotten, by whatever way they came; and a sweep that can't forget says so."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path

import httpx
import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from core import privacy
from core.errors import Unavailable
from core.privacy import NotErasable
from tenants.models import BrowserSession, PersonalToken, RefreshToken, User
from tenants.services import issue_tokens, refresh_tokens
from tenants.services.personal_tokens import create_personal_token, user_of_personal_token
from tenants.services.retention import sweep_retention
from tenants.services.sessions import note_seen
from tenants.tests.factories import make_phone, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db

LONG_AGO = timedelta(days=1000)


@pytest.fixture(autouse=True)
def journal(tmp_path: Path, settings: Settings) -> Path:
    settings.ERASURE_JOURNAL = str(tmp_path / "erasures.jsonl")
    return tmp_path / "erasures.jsonl"


def make_old_user() -> User:
    """Somebody who last signed in long ago and holds nothing."""
    return last_seen_long_ago(make_user(phone=make_phone()))


def last_seen_long_ago(user: User) -> User:
    long_ago = timezone.now() - LONG_AGO
    User.objects.filter(pk=user.pk).update(created_at=long_ago, last_login=long_ago)
    return User.objects.get(pk=user.pk)


def is_known(user: User) -> bool:
    return User.objects.get(pk=user.pk).erased_at is None


def with_a_browser(user: User) -> None:
    """With the session of a sign-in long ago, which slides on with its use."""
    client = Client()
    sign_in(client, user, second_factor=False, method="phone")
    last_seen_long_ago(user)
    client.get("/me/")


def with_new_tokens(user: User) -> None:
    issue_tokens(user, second_factor=False)


def with_a_refresh_token(user: User) -> None:
    pair = issue_tokens(user, second_factor=False)
    last_seen_long_ago(user)
    refresh_tokens(refresh=pair.refresh)


def with_a_personal_token(user: User) -> None:
    in_a_day = timezone.now() + timedelta(days=1)
    _, secret = create_personal_token(user=user, name="script", scopes=["rentals:view"], expires_at=in_a_day)
    user_of_personal_token(secret)


@pytest.mark.parametrize("come", [with_a_browser, with_new_tokens, with_a_refresh_token, with_a_personal_token])
def test_whoever_came_lately_is_kept(come: Callable[[User], None]) -> None:
    user, stranger = make_old_user(), make_old_user()
    come(user)
    # What they came with is over by now.
    BrowserSession.objects.all().delete()
    RefreshToken.objects.all().delete()
    PersonalToken.objects.update(revoked_at=timezone.now())

    assert sweep_retention() == 1

    assert (is_known(user), is_known(stranger)) == (True, False)


def test_phone_code_over_rest_counts_as_coming(sms: httpx.Client) -> None:
    user = make_old_user()
    asked = Client().post("/api/auth/otp/request", {"phone": user.phone}, content_type="application/json")
    code = str(sms.get("/messages", params={"to": user.phone}).json()[0]["text"]).rpartition("#")[2]
    given = {"challenge": asked.json()["challenge"], "phone": user.phone, "code": code}
    assert Client().post("/api/auth/otp/verify", given, content_type="application/json").status_code == 200
    RefreshToken.objects.all().delete()

    assert sweep_retention() == 0
    assert is_known(user)


def test_personal_token_used_long_ago_keeps_nobody() -> None:
    user = make_old_user()
    with_a_personal_token(user)
    long_ago = timezone.now() - LONG_AGO
    PersonalToken.objects.update(expires_at=long_ago, last_used_at=long_ago)

    assert sweep_retention() == 1


def test_being_here_is_noted_once_a_day(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    user = make_old_user()
    with django_assert_num_queries(1):
        note_seen(user)
    seen = User.objects.get(pk=user.pk)

    with django_assert_num_queries(0):
        note_seen(seen)


def test_sweep_that_can_not_write_the_journal_says_so(settings: Settings, tmp_path: Path) -> None:
    user = make_old_user()
    settings.ERASURE_JOURNAL = str(tmp_path / "no such folder" / "erasures.jsonl")

    with pytest.raises(Unavailable):
        sweep_retention()

    assert is_known(user)


def test_sweep_goes_on_past_somebody_who_can_not_be_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, gone = make_old_user(), make_old_user()

    def something_began(person: User) -> None:
        if person.pk == busy.pk:
            raise NotErasable

    monkeypatch.setattr(privacy, "_obstacles", [something_began])

    assert sweep_retention() == 1
    assert (is_known(busy), is_known(gone)) == (True, False)


def test_command_forgets_what_was_kept_long_enough() -> None:
    stranger, told = make_old_user(), StringIO()

    call_command("apply_retention", stdout=told)

    assert not is_known(stranger)
    assert "kept long enough" in told.getvalue()
