"""What the lock's answer means for the rental: evidence starts it, everything else voids it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from carts import services
from carts.enums import CartCondition, CartStatus, LockState, RentalStatus
from carts.models import Cart, Rental
from carts.selectors import next_free_cart
from carts.tests.conftest import Capture, Pi
from carts.tests.factories import make_cart, make_rental
from core import outbox
from core.models import StateChange
from core.tests.race import DEADLINE_S, lock_waiters, race, wait_for
from devices.enums import CommandStatus
from devices.models import Command
from devices.mqtt import inbound
from devices.tests.messages import answer, answer_topic
from tenants.tests.factories import make_phone, make_user

pytestmark = pytest.mark.django_db


def make_pending(**fields: object) -> Rental:
    return make_rental(status=RentalStatus.PENDING_UNLOCK, **fields)


def steps(rental: Rental) -> list[tuple[str, str, str]]:
    rows = StateChange.objects.filter(entity_id=rental.pk).order_by("pk")
    return list(rows.values_list("from_state", "to_state", "reason"))


def overdue(rental: Rental, **fields: object) -> None:
    past = timezone.now() - timedelta(minutes=1)
    Command.objects.filter(pk=rental.unlock_command_id).update(expires_at=past, **fields)


def test_evidence_starts_the_rental(pi: Pi) -> None:
    rental = make_pending()
    before = timezone.now()

    pi.answers(rental, "done", lock="unlocked", present=True, seq=5)

    cart = rental.cart
    assert (rental.status, cart.status, cart.condition) == (RentalStatus.ACTIVE, CartStatus.RENTED, CartCondition.OK)
    assert before <= rental.start_time <= timezone.now()
    assert rental.expected_return - rental.start_time == rental.branch.rental_duration
    assert cart.last_used == rental.start_time
    assert (cart.lock_state, cart.present, cart.lock_seq) == (LockState.UNLOCKED, True, 5)
    assert steps(rental) == [("pending_unlock", "active", "lock opened")]


def test_done_without_an_observation_starts_nothing(pi: Pi) -> None:
    """A result without a number has seen nothing, whatever else it says."""
    rental = make_pending()

    pi.answers(rental, "done", lock="unlocked", present=True, seq=None)

    assert (rental.status, rental.cart.condition) == (RentalStatus.VOIDED, CartCondition.SUSPECT)


def test_acked_alone_starts_nothing(pi: Pi) -> None:
    rental = make_pending()

    pi.answers(rental, "acked")

    assert (rental.status, rental.cart.status) == (RentalStatus.PENDING_UNLOCK, CartStatus.RESERVED)


@pytest.mark.parametrize("lock", ["locked", "unknown"])
def test_done_without_an_open_hook_is_no_evidence(pi: Pi, lock: str) -> None:
    rental = make_pending()

    pi.answers(rental, "done", lock=lock)

    assert (rental.status, rental.start_time) == (RentalStatus.VOIDED, None)
    assert rental.cart.condition == CartCondition.SUSPECT


@pytest.mark.parametrize(
    ("outcome", "reason", "condition"),
    [
        ("failed", "no_reply", CartCondition.SUSPECT),
        ("failed", "bad_frame", CartCondition.SUSPECT),
        ("failed", "not_observed", CartCondition.SUSPECT),
        ("failed", None, CartCondition.SUSPECT),
        ("unknown", None, CartCondition.SUSPECT),
        ("refused", "unsupported", CartCondition.SUSPECT),
        # The Pi did not try, so nothing is known against the lock.
        ("refused", "expired", CartCondition.OK),
        ("refused", "cancelled", CartCondition.OK),
        ("refused", "wrong_connection", CartCondition.OK),
        ("refused", "clock_unknown", CartCondition.OK),
        ("refused", "retained", CartCondition.OK),
        ("refused", "duplicate", CartCondition.OK),
        ("refused", "busy", CartCondition.OK),
        ("refused", "interlock", CartCondition.OK),
    ],
)
def test_anything_but_evidence_voids_and_nothing_is_owed(
    pi: Pi, outcome: str, reason: str | None, condition: str
) -> None:
    rental = make_pending()

    pi.answers(rental, outcome, reason=reason)

    assert rental.unlock_command is not None
    assert (rental.status, rental.cart.status) == (RentalStatus.VOIDED, CartStatus.AVAILABLE)
    assert (rental.start_time, rental.expected_return, rental.actual_return) == (None, None, None)
    assert rental.end_reason == (reason or rental.unlock_command.status)
    assert rental.cart.condition == condition


def test_next_healthy_cart_is_offered(pi: Pi) -> None:
    rental = make_pending()
    healthy = make_cart(controller=rental.cart.controller)

    pi.answers(rental, "failed", reason="not_observed")

    assert next_free_cart(rental.cart) == healthy


def test_cart_in_maintenance_stays_there_when_its_unlock_fails(pi: Pi) -> None:
    rental = make_pending()
    services.put_in_maintenance(cart=rental.cart, note="wheel", actor="test")

    pi.answers(rental, "failed", reason="no_reply")

    assert (rental.cart.condition, rental.cart.maintenance_notes) == (CartCondition.MAINTENANCE, "wheel")


def test_silence_before_sending_voids_without_blaming_the_lock(pi: Pi) -> None:
    rental = make_pending()
    overdue(rental)

    pi.says_nothing(rental)

    assert rental.unlock_command is not None
    assert rental.unlock_command.status == CommandStatus.EXPIRED
    assert (rental.status, rental.cart.condition) == (RentalStatus.VOIDED, CartCondition.OK)


@pytest.mark.parametrize("status", [CommandStatus.SENT, CommandStatus.ACKED])
def test_silence_after_sending_voids_and_the_lock_is_looked_at(pi: Pi, status: str) -> None:
    rental = make_pending()
    overdue(rental, status=status)

    pi.says_nothing(rental)

    assert rental.unlock_command is not None
    assert rental.unlock_command.status == CommandStatus.UNKNOWN
    assert (rental.status, rental.cart.condition) == (RentalStatus.VOIDED, CartCondition.SUSPECT)


def test_late_evidence_charges_nobody_but_the_lock_is_believed(pi: Pi) -> None:
    rental = make_pending()
    overdue(rental, status=CommandStatus.SENT)
    pi.says_nothing(rental)
    before = steps(rental)

    pi.answers(rental, "done", lock="unlocked", present=True, seq=9)

    assert rental.unlock_command is not None
    assert (rental.status, rental.start_time, steps(rental)) == (RentalStatus.VOIDED, None, before)
    assert rental.unlock_command.late_result is not None
    assert (rental.cart.lock_state, rental.cart.lock_seq) == (LockState.UNLOCKED, 9)
    assert rental.cart.status == CartStatus.AVAILABLE


def test_answer_twice_starts_once(pi: Pi) -> None:
    rental = make_pending()

    pi.answers(rental, "done")
    started = rental.start_time
    pi.answers(rental, "done")

    assert rental.start_time == started
    assert len(steps(rental)) == 1


def test_settling_twice_is_once(pi: Pi) -> None:
    rental = make_pending()
    pi.answers(rental, "done")
    before = (rental.start_time, steps(rental))

    services.rentals.settle_unlock(command_id=rental.unlock_command_id)

    rental.refresh_from_db()
    assert (rental.start_time, steps(rental)) == before


def test_return_that_overtook_the_opening_still_ends_the_rental(pi: Pi) -> None:
    """Two bridges: the one with the later report was faster."""
    rental = make_pending()

    pi.reports(rental.cart, lock="locked", present=True, seq=6)
    pi.answers(rental, "done", lock="unlocked", present=True, seq=5)

    assert (rental.status, rental.cart.status) == (RentalStatus.RETURNED, CartStatus.AVAILABLE)
    assert rental.cart.lock_state == LockState.LOCKED


def test_answer_to_a_command_by_hand_moves_no_rental(pi: Pi) -> None:
    running = make_rental()
    command = Command.objects.create(
        **{
            field: getattr(running.unlock_command, field)
            for field in ("device", "type", "target_id", "topic", "connection_id", "issued_at", "expires_at")
        }
    )

    inbound.handle(answer_topic(command), answer(command, "failed", reason="no_reply"))
    outbox.sweep()

    running.refresh_from_db()
    assert (running.status, running.cart.condition) == (RentalStatus.ACTIVE, CartCondition.OK)


# Crashes and races.


@pytest.mark.django_db(transaction=True)
def test_crash_between_the_answer_and_the_rental_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rental = make_pending()
    assert rental.unlock_command is not None
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr("core.outbox.transaction.on_commit", lambda *args, **kwargs: None)
        inbound.handle(answer_topic(rental.unlock_command), answer(rental.unlock_command))
    rental.refresh_from_db()
    before = rental.status

    outbox.sweep()
    outbox.sweep()

    rental.refresh_from_db()
    assert (before, rental.status) == (RentalStatus.PENDING_UNLOCK, RentalStatus.ACTIVE)
    assert len(steps(rental)) == 1


def test_sweep_settles_what_the_outbox_gave_up_on(django_capture_on_commit_callbacks: Capture) -> None:
    rental = make_pending()
    Command.objects.filter(pk=rental.unlock_command_id).update(
        status=CommandStatus.DONE, lock="unlocked", seq=3, finished_at=timezone.now() - timedelta(seconds=31)
    )

    settled = services.sweep_pending_rentals()

    rental.refresh_from_db()
    assert (settled, rental.status) == (1, RentalStatus.ACTIVE)
    assert services.sweep_pending_rentals() == 0


@pytest.mark.parametrize("finished", ["just now", "not yet"])
def test_sweep_leaves_rentals_alone_that_are_being_settled(finished: str) -> None:
    rental = make_pending()
    if finished == "just now":
        Command.objects.filter(pk=rental.unlock_command_id).update(
            status=CommandStatus.DONE, finished_at=timezone.now()
        )

    assert services.sweep_pending_rentals() == 0


@pytest.mark.django_db(transaction=True)
def test_settled_by_many_at_once_starts_once() -> None:
    rental = make_pending()
    Command.objects.filter(pk=rental.unlock_command_id).update(
        status=CommandStatus.DONE, lock="unlocked", seq=3, finished_at=timezone.now()
    )

    failures = race(lambda: services.rentals.settle_unlock(command_id=rental.unlock_command_id), times=5)

    assert failures == [None] * 5
    assert len(steps(rental)) == 1
    assert Cart.objects.get().status == CartStatus.RENTED


def settled_twice_around_the_next_customer() -> tuple[str, str]:
    """Two settle one failed unlock; between them the next customer takes the cart. Answers (cart, next rental)."""
    rental, next_customer = make_pending(), make_user(phone=make_phone())
    Command.objects.filter(pk=rental.unlock_command_id).update(
        status=CommandStatus.EXPIRED, reason="expired", finished_at=timezone.now()
    )

    def settle() -> None:
        services.rentals.settle_unlock(command_id=rental.unlock_command_id)

    def take() -> None:
        services.start_rental(cart=rental.cart, customer=next_customer, idempotency_key="next")

    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            settle()
            taking = pool.submit(closing_connection, take)
            wait_for(lambda: lock_waiters() == 1, "the next customer at the cart's lock")
            settling = pool.submit(closing_connection, settle)
            wait_for(lambda: lock_waiters() == 2, "the second settle at the cart's lock")
        taking.result(DEADLINE_S)
        settling.result(DEADLINE_S)
    assert steps(rental) == [("pending_unlock", "voided", "expired")]
    return Cart.objects.get().status, Rental.objects.get(customer=next_customer).status


def closing_connection(action: Callable[[], None]) -> None:
    try:
        action()
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_second_settle_leaves_the_next_customers_cart_alone() -> None:
    assert settled_twice_around_the_next_customer() == (CartStatus.RESERVED, RentalStatus.PENDING_UNLOCK)


@pytest.mark.django_db(transaction=True)
def test_second_settle_would_free_it_if_it_did_not_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a settle that goes on although the rental had been settled."""
    noticing = services.rentals._leave_opening
    monkeypatch.setattr(services.rentals, "_leave_opening", lambda *args: noticing(*args) or True)

    assert settled_twice_around_the_next_customer() == (CartStatus.AVAILABLE, RentalStatus.PENDING_UNLOCK)


@pytest.mark.django_db(transaction=True)
def test_settle_that_waited_until_the_rental_ended_does_nothing(pi: Pi) -> None:
    rental = make_pending()
    stale = Rental.objects.select_related("cart", "branch", "unlock_command").get(pk=rental.pk)
    pi.answers(rental, "done", seq=5)
    pi.reports(rental.cart, lock="locked", present=True, seq=6)
    rental.refresh_from_db()
    before = steps(rental)

    with transaction.atomic():
        begun = services.rentals._begin(stale, rental.cart, rental.unlock_command)

    rental.refresh_from_db()
    assert (begun, rental.status, steps(rental)) == (False, RentalStatus.RETURNED, before)
    assert Cart.objects.get().status == CartStatus.AVAILABLE
