"""Which account of Google signs in as whom: linked after the last step, by whoever proved who they are, and told."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from allauth.socialaccount.models import SocialAccount
from django.test import Client

from core.models import AuditEntry
from tenants import allauth_adapters
from tenants.models import User
from tenants.services import deactivate_person, update_person
from tenants.tests import test_google
from tenants.tests.authenticators import code_of, give_app
from tenants.tests.factories import People, make_user
from tenants.tests.mailbox import PASSWORD, is_signed_in, make_known, received
from tenants.tests.signing_in import sign_in
from tenants.tests.test_google import begin, choose, come_back
from tenants.tests.test_second_factor import age_proofs

ALICE = "alice@example.com"
OTHER = "other@gmail.example"
CONNECTIONS = "/auth/google/connections"
pytestmark = pytest.mark.django_db

google = test_google.google


def told() -> list[str]:
    return list(AuditEntry.objects.filter(action__startswith="Google").order_by("pk").values_list("action", flat=True))


def test_address_is_linked_after_the_second_factor(client: Client, google: httpx.Client) -> None:
    secret = give_app(make_known(ALICE))

    asked = come_back(client, google, ALICE)
    before = SocialAccount.objects.count()
    client.post("/auth/2fa/give", {"code": code_of(secret)})

    assert (asked, before) == ((302, "/auth/2fa/give"), 0)
    assert is_signed_in(client)
    assert SocialAccount.objects.get().user.email == ALICE
    assert told() == ["Google linked"]


def test_address_that_was_replaced_before_the_second_factor_is_not_linked(
    people: People, client: Client, google: httpx.Client
) -> None:
    bob = make_known("old@example.com")
    secret = give_app(bob)
    come_back(client, google, "old@example.com")

    update_person(user=bob, email="right@example.com", phone=None, name="", language="en", actor=people.erin)
    client.post("/auth/2fa/give", {"code": code_of(secret)})

    assert not is_signed_in(client)
    assert not SocialAccount.objects.exists()


def test_linking_and_unlinking_are_told_in_the_audit_and_by_mail(
    client: Client, google: httpx.Client, mail: httpx.Client
) -> None:
    alice = make_known(ALICE)
    sign_in(client, alice, second_factor=False)

    come_back(client, google, OTHER, process="connect")
    linked = received(mail, ALICE)[0]["subject"]
    client.post(CONNECTIONS, {"account": SocialAccount.objects.get().pk})

    assert told() == ["Google linked", "Google unlinked"]
    assert set(AuditEntry.objects.values_list("actor_id", flat=True)) == {alice.pk}
    assert linked == "An account of Google was linked"
    assert received(mail, ALICE)[0]["subject"] == "An account of Google was unlinked"


def test_account_linked_already_is_linked_once(client: Client, google: httpx.Client, mail: httpx.Client) -> None:
    sign_in(client, make_known(ALICE), second_factor=False)

    for _ in range(2):
        come_back(client, google, OTHER, process="connect")

    assert told() == ["Google linked"]
    assert "was linked to yours already" in client.get(CONNECTIONS).content.decode()


def close_while_google_answers(
    people: People, client: Client, google: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> User:
    """The account is closed after its row was read and before Google's is linked to it."""
    alice = make_known(ALICE)
    sign_in(client, alice, second_factor=False)
    take: Callable[..., None] = allauth_adapters.take_google_return

    def close(**given: Any) -> None:
        deactivate_person(user=User.objects.get(pk=alice.pk), actor=people.erin)
        take(**given)

    monkeypatch.setattr(allauth_adapters, "take_google_return", close)
    come_back(client, google, OTHER, process="connect")
    alice.refresh_from_db()
    return alice


def test_account_closed_meanwhile_stays_closed_and_unlinked(
    people: People, client: Client, google: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = close_while_google_answers(people, client, google, monkeypatch)

    assert (alice.is_active, alice.token_version, SocialAccount.objects.count()) == (False, 2, 0)


def test_account_closed_meanwhile_stays_closed_and_unlinked_control(
    people: People, client: Client, google: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the look under the lock Google's account is linked to it."""
    monkeypatch.setattr("tenants.services.accounts.hold_account", lambda user: None)

    alice = close_while_google_answers(people, client, google, monkeypatch)

    assert (alice.is_active, SocialAccount.objects.count()) == (False, 1)


def test_customer_with_nothing_but_a_phone_signs_in_with_a_linked_account(client: Client, google: httpx.Client) -> None:
    dora = make_user(phone="+972501234567")
    sign_in(client, dora, second_factor=False, method="phone")
    come_back(client, google, OTHER, process="connect")
    other = Client()

    assert come_back(other, google, OTHER, next="/me/") == (302, "/me/")
    assert other.session["_auth_user_id"] == str(dora.pk)


@pytest.mark.parametrize("method", ["phone", "code"])
def test_sign_in_of_long_ago_links_and_unlinks_nothing(client: Client, google: httpx.Client, method: str) -> None:
    dora = make_user(phone="+972501234567")
    linked = SocialAccount.objects.create(user=dora, provider="google", uid="1", extra_data={"email": OTHER})
    sign_in(client, dora, second_factor=False, method=method)
    age_proofs(client)

    answers = [
        client.post("/auth/google", {"process": "connect"}),
        client.post("/auth/google?process=connect"),
        client.post(CONNECTIONS, {"account": linked.pk}),
    ]

    assert [answer.status_code for answer in answers] == [403] * 3
    assert all(b"prove once more that it is you" in answer.content for answer in answers)
    assert list(SocialAccount.objects.all()) == [linked]
    assert client.get(CONNECTIONS).status_code == 200


def test_whoever_took_long_at_google_links_nothing(client: Client, google: httpx.Client) -> None:
    sign_in(client, make_user(phone="+972501234567"), second_factor=False, method="phone")
    back = choose(google, begin(client, process="connect"), OTHER)
    age_proofs(client)

    answer = client.get(back, follow=True)

    assert "took too long" in answer.content.decode()
    assert not SocialAccount.objects.exists()


def test_whoever_signed_out_at_google_links_nothing(client: Client, google: httpx.Client) -> None:
    """The request to link is their session's, and gone with it."""
    sign_in(client, make_known(ALICE), second_factor=False)
    back = choose(google, begin(client, process="connect"), OTHER)
    client.post("/auth/sign-out")

    client.get(back)

    assert not is_signed_in(client)
    assert not SocialAccount.objects.exists()


def test_password_of_long_ago_is_asked_for_and_linking_goes_on(client: Client, google: httpx.Client) -> None:
    sign_in(client, make_known(ALICE), second_factor=False)
    age_proofs(client)

    asked = client.post("/auth/google", {"process": "connect"})
    goes_on = client.post(asked["Location"], {"password": PASSWORD})

    assert asked["Location"].startswith("/auth/confirm?next=")
    assert "client_id=cartwise" in goes_on["Location"]
