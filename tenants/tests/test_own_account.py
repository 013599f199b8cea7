"""One's own account: a password that is forgotten, changed or first; an address that is replaced."""

import time

import httpx
import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from pytest_django import Settings

from tenants.models import User
from tenants.requester import METHODS
from tenants.services import update_person
from tenants.tests.factories import People, make_user
from tenants.tests.mailbox import PASSWORD, code_in, is_signed_in, make_known, received
from tenants.tests.signing_in import sign_in as sign_in_as

ALICE = "alice@example.com"


def sign_in(client: Client, name: str, password: str) -> int:
    return client.post("/auth/sign-in", {"login": name, "password": password}).status_code


def ask_code(client: Client, email: str) -> str:
    """Where asking for a code by mail leads."""
    return client.post("/auth/code", {"email": email})["Location"]


# Passwords


@pytest.mark.django_db
def test_forgotten_password_is_set_anew_with_a_code(client: Client, mail: httpx.Client) -> None:
    alice = make_known(ALICE)
    elsewhere = Client()
    sign_in_as(elsewhere, alice, second_factor=False)

    asked = client.post("/auth/password-reset", {"email": ALICE})
    confirmed = client.post("/auth/password-reset/confirm", {"code": code_in(mail, ALICE)})
    weak = client.post("/auth/password-reset/complete", {"password1": "password"})
    done = client.post("/auth/password-reset/complete", {"password1": "another long one"})

    assert [answer["Location"] for answer in (asked, confirmed, done)] == [
        "/auth/password-reset/confirm",
        "/auth/password-reset/complete",
        "/auth/password-reset/done",
    ]
    assert weak.status_code == 200
    assert not is_signed_in(client)
    assert elsewhere.get("/auth/email")["Location"].startswith("/auth/sign-in")
    assert sign_in(client, ALICE, "another long one") == 302
    assert is_signed_in(client)
    assert received(mail, ALICE)[0]["subject"] == "Your password was changed"
    assert User.objects.get().token_version == alice.token_version + 1


@pytest.mark.django_db
def test_new_password_needs_the_code_first(client: Client, mail: httpx.Client) -> None:
    make_known(ALICE)
    client.post("/auth/password-reset", {"email": ALICE})

    skipped = client.post("/auth/password-reset/complete", {"password1": "another long one"})

    assert skipped["Location"] == "/auth/password-reset/confirm"
    assert User.objects.get().check_password(PASSWORD)


@pytest.mark.django_db
def test_reset_answers_the_same_for_unknown_addresses(mail: httpx.Client) -> None:
    make_known(ALICE)

    answers = []
    for email in (ALICE, "nobody@example.com"):
        browser = Client()
        asked = browser.post("/auth/password-reset", {"email": email})
        page = browser.get("/auth/password-reset/confirm")
        wrong = [browser.post("/auth/password-reset/confirm", {"code": "x"}).status_code for _ in range(5)]
        answers.append((asked["Location"], page.status_code, wrong))

    assert answers[0] == answers[1]


@pytest.mark.django_db
def test_reset_proves_an_address_that_staff_set(people: People, client: Client, mail: httpx.Client) -> None:
    bob = people.bob
    assert bob.email
    client.post("/auth/password-reset", {"email": bob.email})
    client.post("/auth/password-reset/confirm", {"code": code_in(mail, bob.email)})
    client.post("/auth/password-reset/complete", {"password1": "another long one"})

    assert sign_in(client, bob.email, "another long one") == 302
    assert is_signed_in(client)


@pytest.mark.django_db
def test_changed_password_ends_every_session(client: Client, mail: httpx.Client) -> None:
    alice = make_known(ALICE)
    elsewhere = Client()
    for browser in (client, elsewhere):
        sign_in_as(browser, alice, second_factor=False)

    changed = client.post("/auth/password", {"oldpassword": PASSWORD, "password1": "another long one"})

    assert changed["Location"] == "/auth/sign-in"
    for browser in (client, elsewhere):
        assert browser.get("/auth/email")["Location"].startswith("/auth/sign-in")
    assert sign_in(client, ALICE, "another long one") == 302


@pytest.mark.django_db
def test_first_password_may_be_set_by_customers(client: Client, mail: httpx.Client) -> None:
    alice = make_known(ALICE, password=None)
    sign_in_as(client, alice, second_factor=False, method="code")

    assert client.get("/auth/password")["Location"] == "/auth/password/set"
    assert client.post("/auth/password/set", {"password1": "another long one"})["Location"] == "/auth/sign-in"
    assert sign_in(client, ALICE, "another long one") == 302


@pytest.mark.parametrize("path", ["/auth/password/set", "/auth/email", "/auth/google"])
def test_phone_of_a_manager_changes_no_way_in(people: People, client: Client, settings: Settings, path: str) -> None:
    """With a SIM card taken over and an address of their own a thief would set up the second factor."""
    settings.GOOGLE_CLIENT_ID = "cartwise"
    sign_in_as(client, people.alice, second_factor=False, method="phone")

    answer = client.post(path, {"password1": "another long one", "email": "thief@example.com", "action_add": ""})

    assert answer["Location"].startswith("/auth/second-factor")
    assert not User.objects.get(pk=people.alice.pk).has_usable_password()


# Changing the address


@pytest.mark.django_db
def test_new_address_counts_once_its_code_came_back(client: Client, mail: httpx.Client) -> None:
    alice = make_known(ALICE, password=None)
    sign_in_as(client, alice, second_factor=False, method="code")

    asked = client.post("/auth/email", {"email": "New@Example.com", "action_add": ""})
    before = User.objects.get().email
    done = client.post("/auth/email/confirm", {"code": code_in(mail, "new@example.com")})

    assert asked["Location"] == "/auth/email/confirm"
    assert before == ALICE
    assert done.status_code == 302
    assert User.objects.get().email == "new@example.com"
    assert list(EmailAddress.objects.values_list("email", "verified", "primary")) == [("new@example.com", True, True)]
    assert "new@example.com" in received(mail, ALICE)[0]["text"]
    assert ask_code(Client(), ALICE) == "/auth/code/confirm"
    assert "has no account" in received(mail, ALICE)[0]["text"]


@pytest.mark.django_db
def test_new_address_needs_the_password_once_more_after_a_while(client: Client, mail: httpx.Client) -> None:
    sign_in_as(client, make_known(ALICE), second_factor=False)
    session = client.session
    session[METHODS] = [{"method": "password", "at": time.time() - 3600}]
    session.save()

    answer = client.post("/auth/email", {"email": "new@example.com", "action_add": ""})

    assert answer["Location"].startswith("/auth/confirm?next=")
    assert mail.get("/messages").json() == []


@pytest.mark.django_db
def test_address_of_another_account_stays_theirs(client: Client, mail: httpx.Client) -> None:
    """Whoever reads its mail is told so; nobody else learns that it has an account."""
    make_user(email="staff@example.com")
    alice = make_known(ALICE, password=None)
    sign_in_as(client, alice, second_factor=False, method="code")

    asked = client.post("/auth/email", {"email": "staff@example.com", "action_add": ""})
    done = client.post("/auth/email/confirm", {"code": code_in(mail, "staff@example.com")}, follow=True)

    assert asked["Location"] == "/auth/email/confirm"
    assert "belongs to another account" in done.content.decode()
    assert User.objects.get(pk=alice.pk).email == ALICE
    assert EmailAddress.objects.get(verified=True).email == ALICE


@pytest.mark.django_db
def test_address_can_be_replaced_but_not_taken_away(client: Client) -> None:
    alice = make_known(ALICE, password=None)
    sign_in_as(client, alice, second_factor=False, method="code")

    client.post("/auth/email", {"email": ALICE, "action_remove": ""})

    assert User.objects.get().email == ALICE
    assert EmailAddress.objects.get().verified


def test_address_that_staff_replaced_signs_nobody_in(people: People, client: Client, mail: httpx.Client) -> None:
    bob = make_known("old@example.com")
    SocialAccount.objects.create(user=bob, provider="google", uid="1")

    update_person(user=bob, email="right@example.com", phone=None, name="", language="en", actor=people.erin)
    ask_code(client, "old@example.com")

    assert "has no account" in received(mail, "old@example.com")[0]["text"]
    assert not SocialAccount.objects.exists()
    ask_code(Client(), "right@example.com")
    assert code_in(mail, "right@example.com")
