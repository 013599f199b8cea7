"""Mail over the wire: what a mail server that misbehaves does to the people who wait for it."""

import smtplib
from contextlib import ExitStack

import httpx
import pytest
from django.core import mail as django_mail
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import translation
from pytest_django import Settings

from core import mail as core_mail
from core.errors import Unavailable
from tenants.models import Role, User
from tenants.services.invitations import invite_person
from tenants.tests.factories import People
from tenants.tests.mailbox import PASSWORD, code_in, is_signed_in, make_known, received
from tenants.tests.signing_in import sign_in as sign_in_as

ALICE = "alice@example.com"
pytestmark = pytest.mark.django_db


def fault(mail: httpx.Client, kind: str, **fields: object) -> None:
    mail.post("/faults", json={"kind": kind, **fields}).raise_for_status()


@pytest.mark.parametrize("kind", ["451", "550", "drop", "hang"])
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        pytest.param("/auth/code", {"email": ALICE}, id="code"),
        pytest.param("/auth/code", {"email": "nobody@example.com"}, id="code-unknown"),
        pytest.param("/auth/password-reset", {"email": ALICE}, id="reset"),
        pytest.param("/auth/sign-up", {"email": "new@example.com", "password1": PASSWORD}, id="sign-up"),
    ],
)
def test_mail_that_could_not_be_sent_says_so(
    client: Client, mail: httpx.Client, settings: Settings, kind: str, path: str, fields: dict[str, str]
) -> None:
    settings.EMAIL_TIMEOUT = 0.5
    make_known(ALICE)
    fault(mail, kind, seconds=3)

    answer = client.post(path, fields)

    assert answer.status_code == 503
    assert "The e-mail could not be sent" in answer.content.decode()
    assert mail.get("/messages").json() == []


def test_mail_server_that_is_down_says_so(client: Client, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9

    assert client.post("/auth/code", {"email": ALICE}).status_code == 503


def test_mail_server_that_is_down_control(client: Client, mail: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent without our wrapper the same is an error of ours."""
    monkeypatch.setattr("tenants.allauth_adapters.send_message", lambda message: message.send())
    fault(mail, "550")

    with pytest.raises(smtplib.SMTPRecipientsRefused):
        client.post("/auth/code", {"email": ALICE})


def test_person_whose_first_mail_was_lost_goes_on(client: Client, mail: httpx.Client) -> None:
    fault(mail, "451")
    client.post("/auth/sign-up", {"email": "new@example.com", "password1": PASSWORD})

    client.post("/auth/sign-in", {"login": "new@example.com", "password": PASSWORD})
    client.post("/auth/email/confirm", {"code": code_in(mail, "new@example.com")})

    assert is_signed_in(client)


def test_what_was_done_stays_done_without_its_notification(client: Client, mail: httpx.Client) -> None:
    alice = make_known(ALICE)
    sign_in_as(client, alice, second_factor=False)
    fault(mail, "451")

    changed = client.post("/auth/password", {"oldpassword": PASSWORD, "password1": "another long one"})

    assert changed.status_code == 302
    assert User.objects.get().check_password("another long one")
    assert received(mail, ALICE) == []


def test_mail_server_that_hangs_takes_only_some_of_the_webs_threads(mail: httpx.Client) -> None:
    message = EmailMessage("s", "t", None, [ALICE])
    with ExitStack() as hanging:
        for _ in range(4):
            assert core_mail._SENDING.acquire(blocking=False)
            hanging.callback(core_mail._SENDING.release)
        with pytest.raises(Unavailable):
            core_mail.send_message(message)
        assert received(mail, ALICE) == []

    core_mail.send_message(message)
    assert len(received(mail, ALICE)) == 1


@pytest.mark.parametrize("language", ["en", "he", "fa", "fr"])
def test_mail_is_short_plain_and_in_the_readers_language(client: Client, mail: httpx.Client, language: str) -> None:
    make_known(ALICE)
    client.cookies["django_language"] = language

    client.post("/auth/code", {"email": ALICE})

    message = received(mail, ALICE)[0]
    with translation.override(language):
        assert message["subject"] == translation.gettext("Your code to sign in")
    assert code_in(mail, ALICE) in message["text"].splitlines()[0]
    assert message["html"] == ""
    assert len(message["text"]) < 400
    assert message["text"].rstrip().endswith("CartWise · http://testserver/")


@pytest.mark.parametrize("email", ["a@example.com\nBcc: b@example.com", "a@example.com\r\nBcc: b@example.com"])
def test_address_adds_no_header(client: Client, email: str) -> None:
    assert client.post("/auth/code", {"email": email}).status_code == 200
    assert django_mail.outbox == []


def test_names_with_markup_are_no_markup(people: People, mail: httpx.Client) -> None:
    people.bob.name = "O'Neil & <b>Sons</b>"
    role = Role.objects.get(code="branch_manager")

    invite_person(email=ALICE, name="Nina & Co", role=role, branch=people.branch, actor=people.bob)

    message = received(mail, ALICE)[0]
    assert people.bob.name in message["subject"]
    assert people.bob.name in message["text"]
    assert "Nina & Co" in message["text"]
    assert "&amp;" not in message["text"]
