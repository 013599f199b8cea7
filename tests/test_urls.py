"""Every address of the product: reading changes nothing, and whatever changes something is asked for with POST."""

from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, get_resolver, reverse

from carts.models import Cart, Rental
from carts.tests.factories import make_cart, make_rental
from core.models import OutboxMessage, StateChange
from devices.models import Command
from tenants.tests.factories import make_people
from tenants.tests.signing_in import sign_in
from tests.addresses import named

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
    "tenants:sessions-end-others",
    "people:invitation-resend",
    "people:invitation-withdraw",
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
    "give",
    "take",
    "export",
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


def arguments(pattern: URLPattern, known: dict[str, object]) -> dict[str, object]:
    return {name: known.get(name, uuid4()) for name in pattern.pattern.converters}


@pytest.fixture
def known() -> dict[str, object]:
    """Values that lead to something real, so that an address which changes on GET would be caught."""
    people = make_people()
    rental = make_rental(cart=make_cart(branch=people.branch), customer=people.erin)
    cart = make_cart(branch=people.branch)
    return {
        "user": people.erin,
        "public_code": cart.public_code,
        "cart_id": cart.pk,
        "rental_id": rental.pk,
        "branch_id": people.branch.pk,
        "chain_id": people.chain.pk,
        "device_id": cart.controller.device_id,
        "token": "x" * 43,
        "user_id": people.alice.pk,
        "grant_id": people.alice.grants.get().pk,
        "pk": 1,
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

    response = getattr(client, method)(reverse(name, kwargs=arguments(pattern, known)))

    # What belongs to devices refuses a person before it looks at the method.
    assert response.status_code == (401 if name in ("api-device-heartbeat", "api-device-token") else 405)
    assert rows() == before


def test_reading_any_address_changes_nothing(known: dict[str, object]) -> None:
    client = Client()
    sign_in(client, known["user"])
    before, written, failed = rows(), {}, {}

    for name, pattern in named(get_resolver()):
        if name in ("set_language", "home"):
            continue
        with CaptureQueriesContext(connection) as queries:
            response = client.get(reverse(name, kwargs=arguments(pattern, known)))
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

    assert (written, failed) == ({}, {})
    assert rows() == before


def test_rest_addresses_have_no_trailing_slash() -> None:
    assert [name for name, pattern in named(get_resolver("config.api")) if str(pattern.pattern).endswith("/")] == []


def test_names_are_kebab_case() -> None:
    # allauth reverses its own names.
    others = ("account_", "mfa_", "google_", "socialaccount_")
    ours = {name for name, _ in named(get_resolver()) if name != "set_language" and not name.startswith(others)}

    assert [name for name in ours if name != name.lower() or "_" in name or " " in name] == []
