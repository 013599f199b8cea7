"""Setting up, giving and removing second factors through the pages."""

import json
import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client

from tenants.models import User
from tenants.requester import methods_of
from tenants.tests.authenticators import Passkey, code_of, give_app
from tenants.tests.factories import People
from tenants.tests.signing_in import sign_in

CONTROL = "/control/"


def options_of(client: Client, url: str) -> dict[str, Any]:
    page = client.get(url)
    assert page.status_code == 200, page
    found = re.search(
        r'<script id="webauthn-options" type="application/json">(.*?)</script>', page.content.decode(), re.S
    )
    assert found, page.content.decode()
    options: dict[str, Any] = json.loads(found[1])
    return options


def reaches(client: Client, url: str = CONTROL) -> bool:
    """Whether the page opens, rather than sending to the second factor or to sign-in."""
    return client.get(url).status_code == 200


def test_first_app_confirms_the_session_that_set_it_up(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=False)
    assert client.get(CONTROL)["Location"] == "/auth/second-factor?next=%2Fcontrol%2F"
    choices = client.get("/auth/second-factor?next=/control/")
    page = client.get("/auth/2fa/app")
    secret = "".join(page.context["secret"])
    cookie = client.cookies["sessionid"].value

    done = client.post("/auth/2fa/app", {"code": code_of(secret)})
    codes = client.get(done["Location"])

    assert (choices.status_code, done["Location"]) == (200, "/auth/2fa/recovery-codes")
    assert len(codes.context["codes"]) == 10
    assert codes.context["next"] == "/control/"
    assert reaches(client)
    assert client.cookies["sessionid"].value != cookie


def test_first_key_confirms_the_session_that_set_it_up(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=False)
    key = Passkey()

    done = client.post(
        "/auth/2fa/keys/add", {"name": "Phone", "credential": key.create(options_of(client, "/auth/2fa/keys/add"))}
    )

    assert done["Location"] == "/auth/2fa/recovery-codes"
    assert reaches(client)
    assert [str(each) for each in Authenticator.objects.filter(type="webauthn")] == ["Phone"]


def test_passkey_signs_in_alone(people: People, client: Client) -> None:
    sign_in(client, people.alice, second_factor=False)
    key = Passkey()
    client.post("/auth/2fa/keys/add", {"credential": key.create(options_of(client, "/auth/2fa/keys/add"))})
    other = Client()

    options = other.get("/auth/2fa/keys/sign-in", headers={"Accept": "application/json"}).json()
    answer = other.post("/auth/2fa/keys/sign-in", {"credential": key.get(options), "next": "/control/"})

    assert answer["Location"] == "/control/"
    assert reaches(other)


def test_code_is_given_while_signed_in(people: People, client: Client) -> None:
    secret = give_app(people.alice)
    sign_in(client, people.alice, second_factor=False)

    sent = client.get("/auth/second-factor?next=/control/", follow=True)
    done = client.post("/auth/2fa/confirm?next=/control/", {"code": code_of(secret)})

    assert sent.redirect_chain[-1][0] == "/auth/2fa/confirm?next=%2Fcontrol%2F"
    assert done["Location"] == "/control/"
    assert reaches(client)
