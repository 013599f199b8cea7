"""Sign-ins that wait for their last step, while the account they lead to changes."""

from collections.abc import Callable

import pytest
from django.test import Client

from core.models import AuditEntry
from tenants.models import User
from tenants.services import deactivate_person, reactivate_person, sign_out_everywhere
from tenants.services.accounts import change_password
from tenants.services.second_factor import reset_second_factor
from tenants.tests.authenticators import code_of, give_app
from tenants.tests.factories import People
from tenants.tests.mailbox import PASSWORD, is_signed_in, make_known

ALICE = "alice.waits@example.com"
pytestmark = pytest.mark.django_db

Change = Callable[[User, People], None]


def new_password(user: User, people: People) -> None:
    change_password(user=User.objects.get(pk=user.pk), password="another long one")


def signed_out(user: User, people: People) -> None:
    sign_out_everywhere(user.pk)


def closed_and_opened(user: User, people: People) -> None:
    deactivate_person(user=user, actor=people.erin)
    reactivate_person(user=user, actor=people.erin)


def closed(user: User, people: People) -> None:
    deactivate_person(user=user, actor=people.erin)


def factor_reset(user: User, people: People) -> None:
    reset_second_factor(user=user, actor=people.erin)


def wait_and_change(client: Client, people: People, change: Change) -> str:
    """The password was given, the account changes, the code is given: where that leads."""
    user = make_known(ALICE)
    secret = give_app(user)
    client.post("/auth/sign-in", {"login": ALICE, "password": PASSWORD})
    change(user, people)
    return client.post("/auth/2fa/give", {"code": code_of(secret)})["Location"]


@pytest.mark.parametrize("change", [new_password, signed_out, closed_and_opened])
def test_sign_in_that_waited_while_the_account_changed_begins_again(
    people: People, client: Client, change: Change
) -> None:
    assert wait_and_change(client, people, change) == "/auth/sign-in"

    page = client.get("/auth/sign-in")
    assert not is_signed_in(client)
    assert "was changed while you signed in" in page.content.decode()
    assert client.get("/auth/2fa/give")["Location"] == "/auth/sign-in"


def test_sign_in_that_waited_while_the_password_changed_begins_again_control(
    people: People, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing to compare, the old password is still good for a session."""
    monkeypatch.setattr("tenants.allauth_adapters._version_of", lambda user: [])

    wait_and_change(client, people, new_password)

    assert client.get("/auth/security").status_code == 200


def test_sign_in_that_waited_while_the_account_closed_says_so(people: People, client: Client) -> None:
    assert wait_and_change(client, people, closed) == "/auth/inactive"

    reactivate_person(user=User.objects.get(email=ALICE), actor=people.erin)
    assert not is_signed_in(client)
    assert client.get("/auth/security").status_code == 302


def test_sign_in_that_waited_while_the_second_factor_was_reset_begins_again(people: People, client: Client) -> None:
    """And leads nobody in circles."""
    assert wait_and_change(client, people, factor_reset) == "/auth/sign-in"

    page = client.get("/auth/sign-in")
    assert (page.status_code, is_signed_in(client)) == (200, False)
    assert "was changed while you signed in" in page.content.decode()


def test_sign_in_that_waited_for_nothing_to_change_goes_on(people: People, client: Client) -> None:
    assert wait_and_change(client, people, lambda user, people: None) == "/auth/home"

    assert client.get("/auth/security").status_code == 200


def test_recovery_code_that_signs_in_is_told_in_the_audit(people: People, client: Client) -> None:
    user = make_known(ALICE)
    give_app(user)
    code = user.authenticator_set.get(type="recovery_codes").wrap().get_unused_codes()[0]
    client.post("/auth/sign-in", {"login": ALICE, "password": PASSWORD})

    client.post("/auth/2fa/give", {"code": code})

    assert is_signed_in(client)
    told = AuditEntry.objects.filter(action="recovery code used").values_list("actor_id", "entity_id").get()
    assert told == (user.pk, str(user.pk))
