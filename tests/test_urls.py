"""Every address of the product: reading changes nothing, and whatever changes something is asked for with POST."""

import re

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, get_resolver, reverse

from carts.models import Cart, Rental
from carts.tests.factories import make_cart, make_rental
from core.models import OutboxMessage, StateChange
from devices.models import Command
from tenants.models import BrowserSession, PersonalToken, Role
from tenants.services import create_sign_in_link
from tenants.services.invitations import invite_person
from tenants.services.second_factor import add_app
from tenants.tests.authenticators import SECRET, Passkey
from tenants.tests.factories import make_people
from tenants.tests.signing_in import sign_in
from tenants.tests.test_second_factor import add_key
from tests.addresses import named
from tests.matrix.cells import KINDS, own
from tests.matrix.estate import build_side

pytestmark = pytest.mark.django_db

# Own names of the product that change something whatever the method; each takes POST alone.
ACTIONS = {
    "carts:unlock",
    "carts:resend",
    "carts:rental-return",
    "carts:rental-did-not-open",
    "carts:cart-unlock",
    "carts:cart-lock",
    "carts:cart-maintenance",
    "carts:cart-restore",
    "people:audit-export",
    "people:person-export",
    "tenants:sign-out",
    "tenants:leave",
    "tenants:session-end",
    "tenants:app-session-end",
    "tenants:sessions-end-others",
    "people:invitation-resend",
    "people:invitation-withdraw",
    "people:person-close",
    "people:person-reopen",
    "people:grant-give",
    "people:grant-take",
    "people:support-access-end",
    "tenants:phone-resend",
    "tenants:my-data-download",
    "tenants:my-data-delete",
}
# Reading may write these: when a session was last used, every few minutes; and allauth's copy of an address that staff
# gave, the first time its owner looks at it.
NOTED = ('"tenants_browsersession"', '"account_emailaddress"')
VERBS = (
    "unlock",
    "lock",
    "return",
    "resend",
    "restore",
    "maintenance",
    "did-not-open",
    "export",
    "sign-out",
    "leave",
    "withdraw",
    "person-close",
    "reopen",
    "give",
    "take",
    "access-end",
    "session-end",
    "end-others",
    "assign",
    "register",
)
REST_ACTIONS = {
    "api-otp-request",
    "api-otp-verify",
    "api-register",
    "api-register-verify",
    "api-login",
    "api-logout",
    "api-token-refresh",
    "api-cart-assign",
    "api-cart-return",
    "api-device-register",
    "api-device-heartbeat",
    "api-device-token",
}


# Google is not set up here.
NOT_FOUND = {"google_login", "google_callback", "socialaccount_connections"}


def arguments(name: str, pattern: URLPattern, known: dict[str, object]) -> dict[str, object]:
    return {each: known[f"{name} {each}" if each == "token" else each] for each in pattern.pattern.converters}


@pytest.fixture
def known() -> dict[str, object]:
    """Values that lead to something real of who asks, so that an address which changes on GET would be caught."""
    side, erin = build_side("zqours"), make_people().erin
    for model in (BrowserSession, PersonalToken):
        model.objects.filter(pk=side.row(model).pk).update(user=erin)
    browser = Client()
    sign_in(browser, erin, second_factor=False)
    add_key(browser, Passkey())
    add_app(user=erin, secret=SECRET, step=0, first=False)
    role = Role.objects.get(code="branch_manager")
    invite_person(email="new@example.com", name="", role=role, branch=side.branch, actor=erin)
    invited = re.search(r"/auth/invitation/(\S+)", mail.outbox[-1].body)
    assert invited
    return {
        **{name: own(name, side) for name in KINDS},
        "user": erin,
        "pk": Authenticator.objects.get(user=erin, type="webauthn").pk,
        "rental_id": make_rental(cart=make_cart(branch=side.branch), customer=erin).pk,
        "tenants:sign-in-link token": create_sign_in_link(user=side.manager, next_path="/"),
        "tenants:invitation token": invited[1],
    }


def rows() -> list[object]:
    """Everything an address could change on the way from a tap to a lock."""
    carts = list(Cart.objects.order_by("pk").values())
    rentals = list(Rental.objects.order_by("pk").values())
    return [carts, rentals, *(model.objects.count() for model in (Command, StateChange, OutboxMessage))]


def test_every_action_is_in_the_list_of_actions() -> None:
    found = {name for name, _ in named(get_resolver()) if name.endswith(VERBS)}

    assert found - ACTIONS - REST_ACTIONS == set()
    assert {name for name, _ in named(get_resolver())} >= ACTIONS | REST_ACTIONS


@pytest.mark.parametrize("name", sorted(ACTIONS | REST_ACTIONS))
@pytest.mark.parametrize("method", ["get", "head"])
def test_action_refuses_to_be_read(known: dict[str, object], name: str, method: str) -> None:
    client = Client()
    sign_in(client, known["user"])
    pattern = dict(named(get_resolver()))[name]
    before = rows()

    response = getattr(client, method)(reverse(name, kwargs=arguments(name, pattern, known)))

    # What belongs to devices refuses a person before it looks at the method.
    assert response.status_code == (401 if name in ("api-device-heartbeat", "api-device-token") else 405)
    assert rows() == before


def test_reading_any_address_changes_nothing(known: dict[str, object]) -> None:
    client = Client()
    sign_in(client, known["user"])
    before, written, failed, missing = rows(), {}, {}, set()

    for name, pattern in named(get_resolver()):
        if name in ("set_language", "home"):
            continue
        with CaptureQueriesContext(connection) as queries:
            response = client.get(reverse(name, kwargs=arguments(name, pattern, known)))
        changes = [
            query["sql"]
            for query in queries
            if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))
            and not any(map(query["sql"].__contains__, NOTED))
        ]
        if changes:
            written[name] = changes
        if response.status_code >= 500 and name != "healthz":
            failed[name] = response.status_code
        if response.status_code == 404:
            missing.add(name)

    assert (written, failed) == ({}, {})
    assert missing == NOT_FOUND
    assert rows() == before


def test_rest_addresses_have_no_trailing_slash() -> None:
    assert [name for name, pattern in named(get_resolver("config.api")) if str(pattern.pattern).endswith("/")] == []


def test_names_are_kebab_case() -> None:
    # allauth reverses its own names.
    others = ("account_", "mfa_", "google_", "socialaccount_")
    ours = {name for name, _ in named(get_resolver()) if name != "set_language" and not name.startswith(others)}

    assert [name for name in ours if name != name.lower() or "_" in name or " " in name] == []
