"""Making an account: the code, known addresses, those who wait with somebody else's."""

import re
from datetime import timedelta

import httpx
import pytest
from allauth.account.models import EmailAddress
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from core import rows
from core.models import AuditEntry
from core.tests.race import meet_before, race, without_unique
from tenants import access
from tenants.enums import RoleCode
from tenants.models import Grant, User
from tenants.services import accounts
from tenants.services.accounts import forget_unproved_accounts
from tenants.tests.factories import People, make_grant, make_user
from tenants.tests.mailbox import PASSWORD, code_in, is_signed_in, make_known, other_than, received

NEW = "new@example.com"
THIEF = "the thief's own password"


def sign_up(client: Client, email: str = NEW, password: str = PASSWORD, **fields: str) -> tuple[int, str]:
    answer = client.post("/auth/sign-up", {"email": email, "password1": password, **fields})
    return answer.status_code, answer.get("Location", "")


def give_code(client: Client, code: str) -> tuple[int, str]:
    answer = client.post("/auth/email/confirm", {"code": code})
    return answer.status_code, answer.get("Location", "")


def sign_in(client: Client, email: str, password: str) -> bool:
    client.post("/auth/sign-in", {"login": email, "password": password})
    return is_signed_in(client)


@pytest.mark.django_db
def test_account_is_made_with_a_code(client: Client, mail: httpx.Client) -> None:
    asked = sign_up(client, "New@Example.com", name="Nora", next="/me/")
    before = is_signed_in(client)
    done = give_code(client, code_in(mail, NEW))

    assert (asked, before, done) == ((302, "/auth/email/confirm"), False, (302, "/me/"))
    user = User.objects.get()
    assert (user.email, user.name, user.language) == (NEW, "Nora", "en")
    assert user.password.startswith("argon2")
    assert is_signed_in(client)
    assert EmailAddress.objects.values_list("email", "verified", "primary").get() == (NEW, True, True)
    assert not Grant.objects.exists()
    assert not access.is_trusted(user)
    assert PASSWORD not in str(list(AuditEntry.objects.values()))


@pytest.mark.django_db
def test_account_speaks_the_language_of_its_maker(client: Client, mail: httpx.Client) -> None:
    client.cookies["django_language"] = "fr"

    sign_up(client)

    assert User.objects.get().language == "fr"


@pytest.mark.django_db
def test_page_says_what_browsers_may_fill_in(client: Client) -> None:
    page = client.get("/auth/sign-up").content.decode()

    for part in ('autocomplete="username"', 'autocomplete="new-password"', 'autocomplete="name"'):
        assert part in page


@pytest.mark.django_db
@pytest.mark.parametrize("password", ["short", "password123", NEW, ""])
def test_weak_password_is_refused(client: Client, mail: httpx.Client, password: str) -> None:
    assert sign_up(client, password=password)[0] == 200
    assert not User.objects.exists()


@pytest.mark.django_db
def test_account_nobody_proved_signs_nobody_in(client: Client, mail: httpx.Client) -> None:
    sign_up(client)

    assert not sign_in(Client(), NEW, PASSWORD)


@pytest.mark.django_db
def test_answer_is_the_same_for_known_addresses(mail: httpx.Client) -> None:
    make_known("known@example.com")
    make_user(email="staff@example.com")
    answers = []
    for email in (NEW, "known@example.com", "staff@example.com"):
        browser = Client()
        asked = sign_up(browser, email)
        page = browser.get("/auth/email/confirm").content.decode().replace(email, "ADDRESS")
        page = re.sub(r"[A-Za-z0-9]{64}", "TOKEN", page)
        wrong = [give_code(browser, "x") for _ in range(5)]
        answers.append((asked, page, wrong, is_signed_in(browser)))

    assert answers[0] == answers[1] == answers[2]
    assert User.objects.count() == 3
    for email in ("known@example.com", "staff@example.com"):
        assert "You have one already" in received(mail, email)[0]["text"]
    assert User.objects.get(email="known@example.com").check_password(PASSWORD)


@pytest.mark.django_db
def test_known_addresses_take_as_long_as_new_ones(mail: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password is hashed either way: that is what takes the time."""
    make_known("known@example.com")
    hashed: list[str] = []
    encode = "django.contrib.auth.hashers.Argon2PasswordHasher.encode"
    monkeypatch.setattr(encode, lambda hasher, password, salt: hashed.append(password) or "argon2$fake")

    for email in (NEW, "known@example.com"):
        sign_up(Client(), email)

    assert hashed == [PASSWORD, PASSWORD]


@pytest.mark.django_db
def test_code_dies_of_five_wrong_guesses(client: Client, mail: httpx.Client) -> None:
    sign_up(client)
    code = code_in(mail, NEW)

    wrong = [give_code(client, other)[0] for other in other_than(code, 5)]
    give_code(client, code)

    assert wrong == [200] * 4 + [302]
    assert not is_signed_in(client)


@pytest.mark.django_db
def test_accounts_from_an_address_are_limited(settings: Settings, mail: httpx.Client) -> None:
    answers = [sign_up(Client(), f"person-{number}@example.com")[0] for number in range(21)]

    assert answers == [302] * 20 + [429]
    assert User.objects.count() == 20


@pytest.mark.django_db(transaction=True)
def test_two_at_once_make_one_account(mail: httpx.Client) -> None:
    answers = race(lambda: sign_up(Client()), times=4)

    assert answers == [(302, "/auth/email/confirm")] * 4
    assert User.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_at_once_make_one_account_control(mail: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """All found the address free; without its unique index each makes an account."""
    meet_before(monkeypatch, rows, "_record", parties=4)
    with without_unique(User, "email"):
        race(lambda: sign_up(Client()), times=4)

        assert User.objects.count() == 4


def steal(mail: httpx.Client) -> bool:
    """A thief signs up with somebody's address; its owner comes in by a code. Does the thief's password work then?"""
    sign_up(Client(), password=THIEF)
    owner = Client()
    owner.post("/auth/code", {"email": NEW})
    owner.post("/auth/code/confirm", {"code": code_in(mail, NEW)})
    assert is_signed_in(owner)
    return sign_in(Client(), NEW, THIEF)


@pytest.mark.django_db
def test_password_from_before_the_address_was_proved_is_forgotten(mail: httpx.Client) -> None:
    assert not steal(mail)


@pytest.mark.django_db
def test_password_from_before_the_address_was_proved_is_forgotten_control(
    mail: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept, it lets the thief in."""
    prove = accounts.prove_address
    monkeypatch.setattr(
        "tenants.views.codes.prove_address",
        lambda *, user, email, keep_password: prove(user=user, email=email, keep_password=True),
    )

    assert steal(mail)


@pytest.mark.django_db
def test_owner_of_an_address_somebody_signed_up_with_can_reset_the_password(mail: httpx.Client) -> None:
    sign_up(Client(), password=THIEF)
    owner = Client()
    owner.post("/auth/password-reset", {"email": NEW})
    owner.post("/auth/password-reset/confirm", {"code": code_in(mail, NEW)})
    owner.post("/auth/password-reset/complete", {"password1": PASSWORD})

    assert sign_in(owner, NEW, PASSWORD)
    assert not sign_in(Client(), NEW, THIEF)


@pytest.mark.django_db
def test_customer_with_a_phone_adds_an_address(client: Client, mail: httpx.Client) -> None:
    from tenants.tests.signing_in import sign_in as sign_in_as

    dora = make_user(phone="+972501234567")
    sign_in_as(client, dora, second_factor=False, method="phone")

    client.post("/auth/email", {"email": NEW, "action_add": ""})
    give_code(client, code_in(mail, NEW))

    assert User.objects.get().email == NEW
    browser = Client()
    browser.post("/auth/code", {"email": NEW})
    browser.post("/auth/code/confirm", {"code": code_in(mail, NEW)})
    assert browser.session["_auth_user_id"] == str(dora.pk)


@pytest.mark.django_db(transaction=True)
def test_mail_goes_out_of_no_transaction(mail: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bool] = []
    send = "django.core.mail.EmailMessage.send"
    monkeypatch.setattr(send, lambda message, **kwargs: sent.append(connection.in_atomic_block))
    make_known("known@example.com")

    sign_up(Client())
    for path in ("/auth/code", "/auth/password-reset"):
        Client().post(path, {"email": "known@example.com"})

    assert sent == [False] * 3


def test_accounts_nobody_proved_are_forgotten_after_a_week(people: People, mail: httpx.Client) -> None:
    for email in ("old@example.com", "young@example.com", "given@example.com"):
        sign_up(Client(), email)
    make_known("proved@example.com")
    make_grant(user=User.objects.get(email="given@example.com"), role=RoleCode.BRANCH_MANAGER, branch=people.branch)
    before = User.objects.count()
    User.objects.exclude(email="young@example.com").update(created_at=timezone.now() - timedelta(days=8))

    assert forget_unproved_accounts() == 1

    assert User.objects.count() == before - 1
    assert not User.objects.filter(email="old@example.com").exists()
