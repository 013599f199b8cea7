"""Carts themselves: where they stand, their condition, and commands of staff."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from carts import services
from carts.enums import CartCondition, CartStatus
from carts.models import Cart
from carts.tests.factories import make_cart, make_rental
from core.errors import DomainError, InvalidInput, Unavailable
from core.idempotency import KeyReused
from core.models import StateChange
from core.tests.race import DEADLINE_S, lock_no_rows, lock_waiters, race, wait_for
from devices.models import Command, Device, Presence
from devices.tests.factories import make_controller, make_device
from tenants.tests.factories import make_user

pytestmark = pytest.mark.django_db


def test_placing_a_cart_tells_its_pi() -> None:
    controller = make_controller()

    cart = services.place_cart(branch=controller.device.branch, cart_number=12, controller=controller, locker_id=4)

    device = Device.objects.get()
    assert (cart.cart_number, cart.locker_id, device.config_version) == (12, 4, 2)
    assert Command.objects.get().type == "apply_config"


def test_placing_it_again_changes_nothing() -> None:
    cart = make_cart()
    assert cart.controller is not None

    services.place_cart(
        branch=cart.branch, cart_number=cart.cart_number, controller=cart.controller, locker_id=cart.locker_id
    )

    assert (Cart.objects.count(), Device.objects.get().config_version) == (1, 1)


def test_moving_a_cart_tells_both_pis() -> None:
    cart = make_cart()
    elsewhere = make_controller(device=make_device(branch=cart.branch))

    services.place_cart(branch=cart.branch, cart_number=cart.cart_number, controller=elsewhere, locker_id=0)

    assert set(Device.objects.values_list("config_version", flat=True)) == {2}
    assert Device.objects.count() == 2


def test_cart_does_not_hang_on_another_branchs_board() -> None:
    cart = make_cart()

    with pytest.raises(ValidationError):
        services.place_cart(branch=cart.branch, cart_number=cart.cart_number, controller=make_controller(), locker_id=0)


def status_of_a_cart_moved_while_a_rental_began() -> str:
    """The rental holds the cart's row when the move comes to it, and is committed before the move goes on."""
    cart = make_cart()
    elsewhere = make_controller(device=make_device(branch=cart.branch))

    def move() -> None:
        try:
            services.place_cart(branch=cart.branch, cart_number=cart.cart_number, controller=elsewhere, locker_id=0)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Cart.objects.filter(pk=cart.pk).update(status=CartStatus.RENTED)
            moving = pool.submit(move)
            wait_for(lock_waiters, "the move at the cart's lock")
        moving.result(DEADLINE_S)
    cart.refresh_from_db()
    assert cart.controller_id == elsewhere.pk
    return cart.status


@pytest.mark.django_db(transaction=True)
def test_moving_a_cart_does_not_undo_what_happens_to_it_meanwhile() -> None:
    assert status_of_a_cart_moved_while_a_rental_began() == CartStatus.RENTED


@pytest.mark.django_db(transaction=True)
def test_moving_a_cart_would_undo_it_without_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the row read without its lock and saved whole."""
    save = Cart.save
    lock_no_rows(monkeypatch)
    monkeypatch.setattr(Cart, "save", lambda cart, **options: save(cart))

    assert status_of_a_cart_moved_while_a_rental_began() == CartStatus.AVAILABLE


@pytest.mark.parametrize("constraint", ["cart_number_once_in_branch", "locker_once_on_board"])
def test_database_refuses_two_carts_in_one_place(constraint: str) -> None:
    cart = make_cart()
    same = {"cart_number": cart.cart_number} if constraint.startswith("cart") else {"locker_id": cart.locker_id}

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        make_cart(controller=cart.controller, **same)


# Condition.


def test_maintenance_needs_a_note_and_keeps_it() -> None:
    cart, staff = make_cart(), make_user()
    with pytest.raises(InvalidInput):
        services.put_in_maintenance(cart=cart, note="  ", actor=staff)

    services.put_in_maintenance(cart=cart, note=" wheel ", actor=staff)

    cart.refresh_from_db()
    change = StateChange.objects.get(entity_id=cart.pk)
    assert (cart.condition, cart.maintenance_notes) == (CartCondition.MAINTENANCE, "wheel")
    assert (change.field, change.reason, change.actor) == ("condition", "wheel", str(staff.pk))


def test_rental_goes_on_while_its_cart_is_put_in_maintenance() -> None:
    rental = make_rental()

    services.put_in_maintenance(cart=rental.cart, note="wheel", actor="test")

    rental.cart.refresh_from_db()
    rental.refresh_from_db()
    assert (rental.status, rental.cart.status) == ("active", CartStatus.RENTED)


@pytest.mark.parametrize("before", [CartCondition.SUSPECT, CartCondition.MAINTENANCE])
def test_cart_back_in_service_has_no_note(before: str) -> None:
    cart = make_cart(condition=before, maintenance_notes="wheel")

    services.put_in_service(cart=cart, actor="test")

    cart.refresh_from_db()
    assert (cart.condition, cart.maintenance_notes) == (CartCondition.OK, "")


# Commands by hand.


@pytest.mark.parametrize("type_", ["unlock", "lock"])
def test_command_by_hand_is_queued_for_the_cart(type_: str) -> None:
    cart, staff = make_cart(), make_user()

    command_id = services.command_cart(cart=cart, type=type_, actor=staff, idempotency_key="k")

    command = Command.objects.get()
    assert (command.pk, command.type, command.target_id) == (command_id, type_, cart.pk)
    assert command.actor == str(staff.pk)
    assert command.topic.endswith(f"carts/{cart.pk}/{type_}")


@pytest.mark.django_db(transaction=True)
def test_command_by_hand_many_times_at_once_is_one() -> None:
    cart, staff = make_cart(), make_user()

    ids = race(lambda: services.command_cart(cart=cart, type="unlock", actor=staff, idempotency_key="k"), times=8)

    assert len(set(ids)) == Command.objects.count() == 1


def test_key_of_one_command_is_refused_for_another() -> None:
    cart, staff = make_cart(), make_user()
    services.command_cart(cart=cart, type="unlock", actor=staff, idempotency_key="k")

    with pytest.raises(KeyReused):
        services.command_cart(cart=cart, type="lock", actor=staff, idempotency_key="k")


def test_command_to_a_pi_that_is_away_is_refused() -> None:
    cart = make_cart()
    Presence.objects.update(connection_id=None)

    with pytest.raises(Unavailable):
        services.command_cart(cart=cart, type="unlock", actor=make_user(), idempotency_key="k")


def test_command_to_a_cart_without_a_lock_is_refused() -> None:
    cart = make_cart()
    Cart.objects.update(controller=None)

    with pytest.raises(DomainError):
        services.command_cart(cart=cart, type="unlock", actor=make_user(), idempotency_key="k")
    assert not Command.objects.exists()
