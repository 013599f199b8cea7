"""Every step of the life cycles of carts and rentals, legal or not."""

import itertools
from typing import Any

import pytest

from carts.enums import (
    CART_TRANSITIONS,
    CONDITION_TRANSITIONS,
    OPEN_RENTALS,
    RENTAL_TRANSITIONS,
    RUNNING_RENTALS,
    CartCondition,
    CartStatus,
    RentalStatus,
)
from carts.tests.factories import make_cart, make_rental
from core.models import StateChange
from core.transitions import IllegalTransition, transition

pytestmark = pytest.mark.django_db

# Written out here on purpose: a change of the product's tables must be a decision, not a slip.
CART_STEPS = {
    ("available", "reserved"),
    ("reserved", "rented"),
    ("reserved", "available"),
    ("rented", "returned"),
    ("returned", "available"),
}
CONDITION_STEPS = {
    ("ok", "suspect"),
    ("ok", "maintenance"),
    ("suspect", "ok"),
    ("suspect", "maintenance"),
    ("maintenance", "ok"),
}
RENTAL_STEPS = {
    ("pending_unlock", "active"),
    ("pending_unlock", "voided"),
    ("active", "returned"),
    ("active", "closed_by_staff"),
    ("active", "overdue"),
    ("active", "voided"),
    ("overdue", "returned"),
    ("overdue", "closed_by_staff"),
}


def check(row: Any, after: str, *, table: Any, field: str, steps: set[tuple[str, str]], **also: Any) -> None:
    """A legal step is made with its history row; to stay is nothing; everything else raises and writes nothing."""
    before = getattr(row, field)
    try:
        outcome = "moved" if transition(row, to=after, table=table, field=field, **also) else "same"
    except IllegalTransition:
        outcome = "illegal"

    row.refresh_from_db()
    legal = (before, after) in steps
    assert outcome == ("moved" if legal else "same" if before == after else "illegal")
    assert getattr(row, field) == (after if legal else before)
    assert StateChange.objects.filter(entity_id=row.pk).count() == int(legal)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(CartStatus.values, repeat=2)))
def test_cart_goes_only_where_its_use_leads(before: str, after: str) -> None:
    check(make_cart(status=before), after, table=CART_TRANSITIONS, field="status", steps=CART_STEPS)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(CartCondition.values, repeat=2)))
def test_condition_goes_only_where_it_may(before: str, after: str) -> None:
    check(make_cart(condition=before), after, table=CONDITION_TRANSITIONS, field="condition", steps=CONDITION_STEPS)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(RentalStatus.values, repeat=2)))
def test_rental_goes_only_where_its_life_cycle_leads(before: str, after: str) -> None:
    rental = make_rental(status=before)
    times = (
        {} if rental.start_time else {"also": {"start_time": rental.created_at, "expected_return": rental.created_at}}
    )

    check(rental, after, table=RENTAL_TRANSITIONS, field="status", steps=RENTAL_STEPS, **times)


def test_open_rentals_are_those_that_may_still_go_somewhere() -> None:
    assert set(OPEN_RENTALS) == {before for before, _ in RENTAL_STEPS}
    assert set(RUNNING_RENTALS) == {before for before, after in RENTAL_STEPS if after == "returned"}
