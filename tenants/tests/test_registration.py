"""Opening an account over REST: proved by a mailed code, blocked by nobody, telling nobody who has one."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from core.errors import InvalidInput
from core.models import AuditEntry
from core.tests.fixtures import lose_counters
from core.tests.race import meet_before, race, without_unique
from tenants.models import RefreshToken, Registration, User
from tenants.models.people import UserManager
from tenants.services import issue_tokens, registration
from tenants.services.registration import forget_old_registrations, request_registration, verify_registration
from tenants.services.sessions import user_of_token
from tenants.tests.api import problem
from tenants.tests.factories import make_grant, make_user
from tenants.tests.mailbox import PASSWORD, make_known, other_than
from tenants.tests.test_api_auth import post

pytestmark = pytest.mark.django_db
EMAIL = "nora@example.com"


def register(email: str = EMAIL, **fields: object) -> Any:
    return post("register", {"email": email, "password": PASSWORD, **fields})


def mailed_code() -> str:
    found = re.search(r"\b[0-9]{6}\b", mail.outbox[-1].body)
    assert found
    return found[0]


def ask(email: str = EMAIL) -> tuple[Registration, str]:
    """A registration and its code, past the interfaces."""
    asked = request_registration(email=email, password=PASSWORD, name="", language="en", address="203.0.113.9")
    return asked, mailed_code()


def verify(asked: Registration, code: str) -> bool:
    try:
        verify_registration(registration_id=asked.pk, code=code, address="203.0.113.9")
    except InvalidInput:
        return False
    return True


def test_account_begins_with_the_mailed_code() -> None:
    asked = register(name="Nora", language="he", email="Nora@Example.com")
    before = User.objects.count()
    begun = post("verify", {"registration": asked.json()["registration"], "code": f" {mailed_code()} "})

    user = User.objects.get()
    answer = Client(headers={"Authorization": f"Bearer {begun.json()['access']}"}).get("/api/auth/me").json()
    assert (asked.status_code, asked.json()["expires_in_s"], before) == (202, 300, 0)
    assert (user.email, user.name, user.language, user.check_password(PASSWORD)) == (EMAIL, "Nora", "he", True)
    assert list(EmailAddress.objects.values_list("user", "email", "verified", "primary")) == [
        (user.pk, EMAIL, True, True)
    ]
    assert (answer["id"], answer["second_factor"], answer["grants"]) == (str(user.pk), False, [])
    assert AuditEntry.objects.filter(action="registered", actor_id=user.pk).count() == 1
    assert post("login", {"email": EMAIL, "password": PASSWORD}).status_code == 200


def test_known_and_unknown_addresses_get_the_same_answer_and_different_mail() -> None:
    make_known("known@example.com")

    answers = [register(email) for email in ("known@example.com", EMAIL)]

    assert [(each.status_code, sorted(each.json())) for each in answers] == [
        (202, ["expires_in_s", "registration"])
    ] * 2
    assert [(each.to, "already have" in each.subject) for each in mail.outbox] == [
        (["known@example.com"], True),
        ([EMAIL], False),
    ]


def test_known_address_is_not_registered_whatever_code_is_sent() -> None:
    user = make_known("known@example.com", password="another password of old")
    key = register("known@example.com").json()["registration"]

    for code in ("000000", "123456", ""):
        problem(post("verify", {"registration": key, "code": code}), 400)

    assert User.objects.get(pk=user.pk).check_password("another password of old")


@pytest.mark.parametrize("state", ["closed", "granted", "used", "second address"])
def test_account_that_is_somebodys_is_known(state: str) -> None:
    user = make_user(email="other@example.com" if state == "second address" else EMAIL, is_active=state != "closed")
    if state == "granted":
        make_grant(user=user, role="support")
    if state == "used":
        User.objects.update(last_login=timezone.now())
    if state == "second address":
        EmailAddress.objects.create(user=user, email=EMAIL, verified=True)

    register()

    assert "already have" in mail.outbox[0].subject


def test_strangers_unproved_account_does_not_block_the_owner() -> None:
    """Somebody signed up with Nora's address in a browser and waits for her to prove it."""
    stranger = make_user(email=EMAIL, password="a stranger's password")
    EmailAddress.objects.create(user=stranger, email=EMAIL, verified=False, primary=True)

    asked, code = ask()
    assert verify(asked, code)

    user = User.objects.get()
    assert (user.check_password(PASSWORD), user.check_password("a stranger's password")) == (True, False)
    assert user.token_version == 2
    assert EmailAddress.objects.get().verified


def test_strangers_registration_gets_nothing_from_the_owners_code() -> None:
    """Each registration has a code of its own, so that the owner's code never sets the stranger's password."""
    owners, code = ask()
    strangers = Registration.objects.get(pk=register(password="a stranger's password").json()["registration"])

    assert not verify(strangers, code)
    assert verify(owners, code)
    assert not verify(strangers, mailed_code())
    assert User.objects.get().check_password(PASSWORD)


def test_registering_again_begins_with_the_new_password() -> None:
    ask()
    again = register(password="the second choice of nora").json()["registration"]

    assert post("verify", {"registration": again, "code": mailed_code()}).status_code == 200
    assert User.objects.get().check_password("the second choice of nora")


def test_proving_the_address_ends_what_the_stranger_had_and_leaves_the_rest_of_the_row() -> None:
    stranger = make_user(email=EMAIL, password="the stranger's own")
    tokens = issue_tokens(stranger, second_factor=False)
    User.objects.filter(pk=stranger.pk).update(last_login=None)
    asked, code = ask()
    User.objects.filter(pk=stranger.pk).update(name="Written meanwhile")

    user = verify_registration(registration_id=asked.pk, code=code, address="203.0.113.9")

    assert user_of_token(tokens.access) is None
    assert not RefreshToken.objects.exists()
    assert User.objects.get().name == "Written meanwhile"
    assert issue_tokens(user, second_factor=False)


def test_unproved_account_can_do_nothing() -> None:
    ask()

    problem(post("login", {"email": EMAIL, "password": PASSWORD}), 401)
    assert not User.objects.exists()


def test_code_works_once() -> None:
    asked, code = ask()

    assert [verify(asked, code), verify(asked, code)] == [True, False]


def test_code_works_five_minutes() -> None:
    asked, code = ask()
    Registration.objects.update(expires_at=timezone.now())

    assert not verify(asked, code)


def test_five_wrong_guesses_end_it() -> None:
    asked, code = ask()

    assert [verify(asked, wrong) for wrong in other_than(code, 5)] == [False] * 5
    assert not verify(asked, code)


def test_code_of_another_registration_is_wrong() -> None:
    (mine, _), (_, theirs) = ask(), ask("other@example.com")

    assert not verify(mine, theirs)


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_all_count() -> None:
    asked, code = ask()

    answers = race(lambda: verify(asked, other_than(code, 1)[0]), times=12)

    assert answers == [False] * 12
    assert (Registration.objects.get().guesses, verify(asked, code)) == (5, False)


@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_all_count_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a bound on guesses every one is compared."""
    asked, code = ask()
    monkeypatch.setattr(registration, "MAX_GUESSES", 10**6)

    race(lambda: verify(asked, other_than(code, 1)[0]), times=12)

    assert (Registration.objects.get().guesses, verify(asked, code)) == (12, True)


@pytest.mark.django_db(transaction=True)
def test_right_code_sent_many_times_at_once_makes_one_account() -> None:
    asked, code = ask()

    answers = race(lambda: verify(asked, code), times=5)

    assert (sorted(answers), User.objects.count()) == ([False] * 4 + [True], 1)


@pytest.mark.django_db(transaction=True)
def test_right_code_sent_many_times_at_once_makes_one_account_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody looks whether the code is used up, and no table whether the address is taken, each makes one."""
    asked, code = ask()
    update = QuerySet.update

    def always_unused(rows: QuerySet[Any], **changes: Any) -> int:
        return 1 if "used_at" in changes else update(rows, **changes)

    monkeypatch.setattr(QuerySet, "update", always_unused)
    with _address_of_many(monkeypatch, parties=5):
        race(lambda: verify(asked, code), times=5)

        assert User.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_two_registrations_of_an_address_proved_at_once_make_one_account() -> None:
    first, second = ask(), ask()
    pairs = iter([first, second])

    answers = race(lambda: verify(*next(pairs)), times=2)

    assert (sorted(answers), User.objects.count()) == ([False, True], 1)


@pytest.mark.django_db(transaction=True)
def test_two_registrations_of_an_address_proved_at_once_make_one_account_control(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When no table holds an address for one person, each makes an account."""
    pairs = iter([ask(), ask()])
    with _address_of_many(monkeypatch, parties=2):
        race(lambda: verify(*next(pairs)), times=2)

        assert User.objects.count() == 2


@contextmanager
def _address_of_many(monkeypatch: pytest.MonkeyPatch, *, parties: int) -> Iterator[None]:
    """Accounts may share an address, and all who make one have found none."""
    meet_before(monkeypatch, UserManager, "create", parties=parties)
    with without_unique(User, "email"), without_unique(EmailAddress, "unique_verified_email"):
        yield


def test_database_holds_neither_code_nor_password() -> None:
    _, code = ask()

    kept = str(Registration.objects.values())
    assert (PASSWORD in kept, f"'{code}'" in kept) == (False, False)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"email": ""}, "email"),
        ({"email": "nora"}, "email"),
        ({"email": ["a@example.com"]}, "email"),
        ({"email": "a\x00@example.com"}, "email"),
        ({"password": ""}, "password"),
        ({"password": "short"}, "password"),
        ({"password": "password123"}, "password"),
        ({"password": "nora@example.com"}, "password"),
        ({"password": "x" * 257}, "password"),
        ({"language": "xx"}, "language"),
        ({"name": "x" * 256}, "name"),
        ({"name": "\ud800"}, "name"),
    ],
    ids=str,
)
def test_bad_input_is_named_and_mails_nothing(wrong: dict[str, object], field: str) -> None:
    assert set(problem(register(**{"email": EMAIL, **wrong}), 400)) == {field}
    assert (mail.outbox, Registration.objects.count()) == ([], 0)


@pytest.mark.parametrize("body", [{}, {"registration": "x", "code": "1"}, {"registration": None, "code": "1"}], ids=str)
def test_bad_verification_is_named(body: dict[str, object]) -> None:
    assert "registration" in problem(post("verify", body), 400)


def test_mails_to_one_address_are_bounded() -> None:
    answers = [register().status_code for _ in range(7)]

    assert answers == [202] * 5 + [429] * 2
    assert len(mail.outbox) == 5


def test_without_redis_nothing_is_mailed(monkeypatch: pytest.MonkeyPatch) -> None:
    lose_counters(monkeypatch)

    problem(register(), 503)
    assert mail.outbox == []


def test_mail_server_that_is_away_is_an_answer(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9

    problem(register(), 503)


def test_old_registrations_are_forgotten() -> None:
    old, _ = ask()
    ask("other@example.com")
    Registration.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(seconds=1))

    assert (forget_old_registrations(), Registration.objects.get().email) == (1, "other@example.com")
