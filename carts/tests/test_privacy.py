"""Who rented is forgotten when the chain has kept it long enough, and not before."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from pytest_django import Settings

from carts.enums import OPEN_RENTALS, CartStatus, RentalStatus
from carts.models import Rental
from carts.services import privacy, sweep_old_rentals
from carts.tests.factories import make_cart, make_rental
from core.models import StateChange
from devices.models import Command
from tenants.models import Branch, Erasure, Grant, User
from tenants.services import issue_tokens
from tenants.tests.factories import make_branch, make_chain, make_grant, make_phone, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _journal(tmp_path: Path, settings: Settings) -> None:
    settings.ERASURE_JOURNAL = str(tmp_path / "erasures.jsonl")


@pytest.fixture
def quick() -> Branch:
    """A shop of a chain that keeps things for thirty days."""
    return make_branch(chain=make_chain(retention_days=30))


@pytest.fixture
def patient() -> Branch:
    """A shop of a chain that keeps things for a year."""
    return make_branch(chain=make_chain(retention_days=365))


def make_customer(*, seen_days_ago: int, branch: Branch | None = None) -> User:
    seen = timezone.now() - timedelta(days=seen_days_ago)
    user = make_user(phone=make_phone())
    User.objects.filter(pk=user.pk).update(created_at=seen, last_login=seen)
    if branch:
        grant = make_grant(user=user, role="customer", branch=branch)
        Grant.objects.filter(pk=grant.pk).update(created_at=timezone.now() - timedelta(days=500))
    return User.objects.get(pk=user.pk)


def rent(
    customer: User, branch: Branch, *, days_ago: int, status: str = RentalStatus.RETURNED, ended_days_ago: int = 0
) -> Rental:
    """A rental that began so many days ago, with the history that services write."""
    rental = make_rental(cart=make_cart(branch=branch), customer=customer, status=status, notes="was friendly")
    began = timezone.now() - timedelta(days=days_ago)
    ended = timezone.now() - timedelta(days=ended_days_ago or days_ago) if rental.actual_return else None
    Rental.objects.filter(pk=rental.pk).update(created_at=began, actual_return=ended)
    Command.objects.filter(pk=rental.unlock_command_id).update(actor=str(customer.pk))
    for entity, key, to in (
        ("carts.rental", rental.pk, status),
        ("carts.cart", rental.cart_id, CartStatus.RENTED),
        ("carts.cart", rental.cart_id, CartStatus.AVAILABLE),
    ):
        change = StateChange.objects.create(
            entity=entity, entity_id=key, field="status", from_state="", to_state=to, actor=str(customer.pk)
        )
        StateChange.objects.filter(pk=change.pk).update(at=began)
    return Rental.objects.get(pk=rental.pk)


def customer_of(rental: Rental) -> User | None:
    return Rental.objects.get(pk=rental.pk).customer


def test_old_rental_forgets_its_customer_and_stays(quick: Branch) -> None:
    customer = make_customer(seen_days_ago=1, branch=quick)
    old, new = rent(customer, quick, days_ago=31), rent(customer, quick, days_ago=29)

    assert (sweep_old_rentals(), sweep_old_rentals()) == (1, 0)

    row = Rental.objects.get(pk=old.pk)
    assert (row.customer, row.notes, row.status) == (None, "", RentalStatus.RETURNED)
    assert (customer_of(new), Rental.objects.get(pk=new.pk).notes) == (customer, "was friendly")


def test_history_of_an_old_rental_leads_to_nobody(quick: Branch) -> None:
    customer = make_customer(seen_days_ago=1, branch=quick)
    old, new = rent(customer, quick, days_ago=31), rent(customer, quick, days_ago=29)

    sweep_old_rentals()

    left = StateChange.objects.filter(actor=str(customer.pk)).values_list("entity_id", "to_state")
    assert set(left) == {
        (new.pk, RentalStatus.RETURNED),
        (new.cart_id, CartStatus.RENTED),
        (new.cart_id, CartStatus.AVAILABLE),
        (old.cart_id, CartStatus.AVAILABLE),  # no step of a rental: whoever did it may be staff
    }
    assert list(Command.objects.exclude(actor="").values_list("pk", flat=True)) == [new.unlock_command_id]


def test_each_chain_keeps_as_long_as_it_says(quick: Branch, patient: Branch) -> None:
    customer = make_customer(seen_days_ago=1, branch=quick)
    here, there = rent(customer, quick, days_ago=100), rent(customer, patient, days_ago=100)

    sweep_old_rentals()

    assert (customer_of(here), customer_of(there)) == (None, customer)


@pytest.mark.parametrize("status", OPEN_RENTALS)
def test_open_rental_keeps_its_customer_however_old(quick: Branch, status: str) -> None:
    customer = make_customer(seen_days_ago=400, branch=quick)
    rental = rent(customer, quick, days_ago=400, status=status)

    assert sweep_old_rentals() == 0
    assert customer_of(rental) == customer


def test_long_rental_counts_from_its_end(quick: Branch) -> None:
    customer = make_customer(seen_days_ago=1, branch=quick)
    rental = rent(customer, quick, days_ago=100, ended_days_ago=10)

    assert sweep_old_rentals() == 0
    assert customer_of(rental) == customer


def test_voided_rental_is_forgotten_too(quick: Branch) -> None:
    rental = rent(make_customer(seen_days_ago=1), quick, days_ago=31, status=RentalStatus.VOIDED)

    assert sweep_old_rentals() == 1
    assert customer_of(rental) is None


def test_database_refuses_an_open_rental_of_nobody(quick: Branch) -> None:
    rental = rent(make_customer(seen_days_ago=1), quick, days_ago=1, status=RentalStatus.ACTIVE)

    with pytest.raises(IntegrityError, match="rental_open_has_customer"), transaction.atomic():
        Rental.objects.filter(pk=rental.pk).update(customer=None)


def test_customer_with_nothing_left_is_erased(quick: Branch) -> None:
    gone, back = (make_customer(seen_days_ago=days, branch=quick) for days in (40, 3))
    for customer in (gone, back):
        rent(customer, quick, days_ago=35)

    sweep_old_rentals()

    assert User.objects.get(pk=gone.pk).phone is None
    assert list(Erasure.objects.values_list("user_id", flat=True)) == [gone.pk]
    kept = User.objects.get(pk=back.pk)
    assert (kept.phone, kept.is_active, kept.grants.count()) == (back.phone, True, 0)


@pytest.mark.parametrize("holds", ["a rental elsewhere", "a grant elsewhere", "a token", "a role"])
def test_customer_with_something_left_is_kept(quick: Branch, patient: Branch, holds: str) -> None:
    customer = make_customer(seen_days_ago=40, branch=quick)
    rent(customer, quick, days_ago=35)
    if holds == "a rental elsewhere":
        rent(customer, patient, days_ago=35)
    elif holds == "a grant elsewhere":
        make_grant(user=customer, role="customer", branch=patient)
    elif holds == "a token":
        issue_tokens(customer, second_factor=False)
    else:
        make_grant(user=customer, role="branch_manager", branch=quick)

    sweep_old_rentals()

    assert User.objects.get(pk=customer.pk).phone == customer.phone


def test_many_are_forgotten_in_batches_within_a_run(quick: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "BATCH", 2)
    monkeypatch.setattr(privacy, "MOST_BATCHES", 2)
    for _ in range(5):
        rent(make_customer(seen_days_ago=1), quick, days_ago=31)

    assert [sweep_old_rentals() for _ in range(3)] == [4, 1, 0]


def test_sweep_killed_half_way_goes_on(quick: Branch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "BATCH", 2)
    customers = [make_customer(seen_days_ago=40, branch=quick) for _ in range(4)]
    rentals = [rent(customer, quick, days_ago=31) for customer in customers]
    real, done = privacy.forget_customer, []

    def killed(**named: object) -> None:
        done.append(named)
        if len(done) == 4:
            raise KeyboardInterrupt
        real(**named)

    with monkeypatch.context() as patch:
        patch.setattr(privacy, "forget_customer", killed)
        with pytest.raises(KeyboardInterrupt):
            sweep_old_rentals()
    assert sum(customer_of(rental) is None for rental in rentals) == 2

    sweep_old_rentals()

    assert {customer_of(rental) for rental in rentals} == {None}
    assert not User.objects.filter(pk__in=[customer.pk for customer in customers], phone__isnull=False).exists()


def test_forgotten_rental_is_nobodys_to_see(quick: Branch) -> None:
    rental = rent(make_customer(seen_days_ago=1), quick, days_ago=31)
    sweep_old_rentals()
    stranger = make_customer(seen_days_ago=1)

    assert not stranger.may("rentals:view", Rental.objects.get(pk=rental.pk))
    assert not stranger.visible(Rental.objects.all(), "rentals:view").exists()
