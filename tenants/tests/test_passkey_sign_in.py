"""Signing in with a passkey alone: the key must have checked who uses it, whatever it was asked."""

import pytest
from allauth.mfa.webauthn.internal.auth import STATE_SESSION_KEY
from django.test import Client

from tenants.tests.authenticators import Passkey
from tenants.tests.factories import People, make_user
from tenants.tests.mailbox import PASSWORD, is_signed_in, make_known
from tenants.tests.signing_in import sign_in
from tenants.tests.test_second_factor import CONTROL, add_key, options_of

pytestmark = pytest.mark.django_db
SIGN_IN = "/auth/2fa/keys/sign-in"


def sign_in_with_a_stolen_key(people: People, client: Client, *, signs_out: bool) -> Client:
    """A key that asks for no PIN, and a challenge that did not insist on one: from a sign-in of the thief's own."""
    sign_in(client, people.alice, second_factor=False)
    stolen = Passkey(asks_pin=False)
    add_key(client, stolen)
    sign_in(client, make_known("thief@example.com"), second_factor=False)
    add_key(client, Passkey())
    thief = Client()
    thief.post("/auth/sign-in", {"login": "thief@example.com", "password": PASSWORD})
    options = options_of(thief, "/auth/2fa/give")
    if signs_out:
        thief.post("/auth/sign-out-now")
    else:
        session = thief.session
        del session["account_login"]
        session.save()
    thief.post(SIGN_IN, {"credential": stolen.get(options)})
    return thief


@pytest.mark.parametrize("signs_out", [True, False])
def test_stolen_key_without_its_pin_is_not_both_factors(people: People, client: Client, signs_out: bool) -> None:
    assert not is_signed_in(sign_in_with_a_stolen_key(people, client, signs_out=signs_out))


def test_stolen_key_without_its_pin_is_not_both_factors_control(
    people: People, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A challenge that did not insist and nobody who looks at the answer: the key alone opens the back office."""
    monkeypatch.setattr("fido2.webauthn.AuthenticatorData.is_user_verified", lambda data: True)

    thief = sign_in_with_a_stolen_key(people, client, signs_out=False)

    assert thief.get(CONTROL).status_code == 200


def test_signing_out_leaves_no_challenge(client: Client) -> None:
    client.get(SIGN_IN, headers={"Accept": "application/json"})
    before = STATE_SESSION_KEY in client.session

    client.post("/auth/sign-out-now")

    assert (before, STATE_SESSION_KEY in client.session) == (True, False)


def test_passkey_of_somebody_without_an_address_signs_in(client: Client) -> None:
    dora = make_user(phone="+972501234567")
    sign_in(client, dora, second_factor=False, method="link")
    key = Passkey()
    add_key(client, key)
    other = Client()

    options = other.get(SIGN_IN, headers={"Accept": "application/json"}).json()
    answer = other.post(SIGN_IN, {"credential": key.get(options), "next": "/me/"})

    assert (answer["Location"], is_signed_in(other)) == ("/me/", True)
