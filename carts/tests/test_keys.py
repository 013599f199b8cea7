"""What strangers write where a code or a key belongs never reaches the database."""

from typing import Any

import pytest
from django.test import Client

from carts.models import Rental
from carts.tests.factories import make_cart
from devices.models import Command
from devices.tests.api_client import Api
from tenants.models import User
from tenants.tests.factories import make_people, make_phone, make_user
from tenants.tests.signing_in import sign_in

pytestmark = pytest.mark.django_db

NO_KEYS = ["\0", "a\0b", "\x7f", "ключ", "x" * 201]


def signed_in(user: User) -> Client:
    client = Client()
    sign_in(client, user)
    return client


@pytest.mark.parametrize("leaf", ["", "/phone", "/code"])
@pytest.mark.parametrize("code", ["%00", "aaaaaaaaa%00", "short", "a" * 13, "AAAAAAAAAA", "aaaaa-aaaa"])
def test_what_is_no_public_code_is_not_found(code: str, leaf: str) -> None:
    assert Client().get(f"/s/{code}{leaf}").status_code == 404


@pytest.mark.parametrize("key", NO_KEYS)
def test_customers_form_with_something_else_than_a_key_still_unlocks(key: str) -> None:
    cart, customer = make_cart(), make_user(phone=make_phone())

    response: Any = signed_in(customer).post(f"/s/{cart.public_code}/unlock", {"idempotency_key": key})

    assert (response.status_code, response.url) == (302, f"/r/{Rental.objects.get().pk}")


@pytest.mark.parametrize("key", NO_KEYS)
def test_managers_form_with_something_else_than_a_key_still_unlocks(key: str) -> None:
    people = make_people()
    cart = make_cart(branch=people.branch)

    response = signed_in(people.alice).post(
        f"/control/branches/{people.branch.pk}/carts/{cart.pk}/unlock", {"idempotency_key": key}
    )

    assert response.status_code == 302
    assert Command.objects.get().type == "unlock"


@pytest.mark.parametrize("key", ["a\0b", "a\x7fb", "x" * 201, "  "])
@pytest.mark.parametrize("action", ["assign", "return"])
def test_program_is_told_what_a_key_is(key: str, action: str) -> None:
    cart = make_cart()

    response: Any = Api(make_user(phone=make_phone())).post(
        f"branches/{cart.branch_id}/carts/{action}", {"cart_id": str(cart.pk)}, key=key
    )

    assert (response.status_code, list(response.json()["errors"])) == (400, ["Idempotency-Key"])
    assert not Rental.objects.exists()
