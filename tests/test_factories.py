"""The builders all tests use hold what they promise."""

import pytest

from carts.enums import CartStatus, RentalStatus
from carts.selectors import free_carts
from carts.tests.factories import make_cart, make_rental
from devices.tests.factories import make_device
from tenants.tests.factories import make_people

pytestmark = pytest.mark.django_db


def test_cart_is_free_and_valid() -> None:
    cart = make_cart()

    cart.full_clean()
    assert list(free_carts(cart.branch_id)) == [cart]


@pytest.mark.parametrize("status", RentalStatus.values)
def test_rental_is_valid_in_every_state(status: str) -> None:
    rental = make_rental(status=status)

    rental.full_clean()
    assert rental.status == status
    assert (rental.cart.status == CartStatus.AVAILABLE) == (rental.actual_return is not None or status == "voided")


def test_device_and_people_are_valid() -> None:
    make_device(connected=False).full_clean()
    people = make_people()

    for person in (people.alice, people.bob, people.charlie, people.dora, people.erin):
        person.full_clean()
    assert people.alice.visible(type(people.branch).objects.all(), "branches:view").get() == people.branch
