"""What arrived by mail and SMS, for tests."""

import re
from typing import Any

import httpx
from allauth.account.models import EmailAddress
from django.test import Client

from tenants.models import User
from tenants.tests.factories import make_user

PASSWORD = "correct horse battery staple"


def make_known(email: str, *, password: str | None = PASSWORD, **fields: Any) -> User:
    """A person with a proved address and, unless told otherwise, a password."""
    user = make_user(email=email, password=password, **fields)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def received(mail: httpx.Client, to: str) -> list[dict[str, str]]:
    """The messages to an address, newest first."""
    messages: list[dict[str, str]] = mail.get("/messages", params={"to": to}).raise_for_status().json()
    return messages


def code_in(mail: httpx.Client, to: str) -> str:
    """The code in the newest message to an address."""
    found = re.search(r"\b[0-9]{6}\b", received(mail, to)[0]["text"])
    assert found
    return found[0]


def received_at(sms: httpx.Client, host: str, phone: str = "+972501234567") -> str:
    """The code in the newest SMS to a number, from its last line as a browser at that host reads it (WebOTP)."""
    text: str = sms.get("/messages", params={"to": phone}).json()[0]["text"]
    origin, _, code = text.splitlines()[-1].partition(" #")
    assert origin == f"@{host}"
    return code


def other_than(code: str, count: int) -> list[str]:
    return [f"{(int(code) + step) % 10**6:06d}" for step in range(1, count + 1)]


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session
