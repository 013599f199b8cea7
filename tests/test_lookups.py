"""Every look-up that is composed once answers what its queryset does, relation by relation."""

import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, models, transaction
from django.test.utils import CaptureQueriesContext

import carts.services.carts
import carts.services.rentals
import devices.services.commands
import tenants.services.people
import tenants.services.sessions
from carts.enums import RentalStatus
from carts.models import Rental
from carts.tests.factories import make_rental
from core.compiled import Lookup
from tenants.models import RefreshToken, User
from tenants.services import ensure_customer_grant, issue_tokens

pytestmark = pytest.mark.django_db

APPS = ("core.", "tenants.", "devices.", "carts.")
Values = Callable[[Rental], dict[str, Any]]


def signed_in_family(user: User) -> UUID:
    """The family of a refresh token of this person."""
    issue_tokens(user, second_factor=False)
    return RefreshToken.objects.get(user=user).family


LOOKUPS: dict[Lookup[Any], Values] = {
    carts.services.carts._open_by_number: lambda rental: {
        "branch_id": rental.branch_id,
        "cart_number": rental.cart.cart_number,
    },
    carts.services.carts._open_by_id: lambda rental: {"branch_id": rental.branch_id, "cart_id": rental.cart_id},
    carts.services.carts._locked: lambda rental: {"pk": rental.cart_id},
    carts.services.rentals._locked_alone: lambda rental: {"pk": rental.cart_id},
    carts.services.rentals._waiting: lambda rental: {"command_id": rental.unlock_command_id},
    devices.services.commands._locked: lambda rental: {"pk": rental.unlock_command_id},
    tenants.services.people._customer_grants: lambda rental: {
        "user_id": rental.customer_id,
        "branch_id": rental.branch_id,
    },
    tenants.services.sessions._open_accounts: lambda rental: {
        "pk": rental.customer_id,
        "version": rental.customer.token_version,
    },
    tenants.services.sessions._signed_in_accounts: lambda rental: {
        "pk": rental.customer_id,
        "version": rental.customer.token_version,
        "family": signed_in_family(rental.customer),
    },
}


def loaded(instance: models.Model, *above: models.Model) -> dict[str, Any]:
    """Its columns, and those of whatever came with it."""
    columns = instance._meta.concrete_fields
    found: dict[str, Any] = {column.attname: getattr(instance, column.attname) for column in columns}
    for name, other in instance._state.fields_cache.items():
        if not any(other is one for one in above):
            found[f"{name}."] = loaded(other, instance, *above) if other is not None else None
    return found


def test_no_look_up_is_left_out() -> None:
    modules = [module for name, module in sys.modules.items() if name.startswith(APPS) and ".tests" not in name]
    in_use = {value for module in modules for value in vars(module).values() if isinstance(value, Lookup)}

    assert in_use == set(LOOKUPS)


@pytest.mark.parametrize("lookup", LOOKUPS, ids=lambda lookup: lookup._rows.__module__)
def test_look_up_answers_what_its_queryset_does(lookup: Lookup[Any]) -> None:
    rental = make_rental(status=RentalStatus.PENDING_UNLOCK)
    ensure_customer_grant(user=rental.customer, branch=rental.branch)
    make_rental()
    values = LOOKUPS[lookup](rental)

    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        found = lookup(**values)
        plain = list(lookup._rows(**values))
        assert [loaded(row) for row in found] == [loaded(row) for row in plain]

    assert len(found) == 1
    assert len(queries) == 2
