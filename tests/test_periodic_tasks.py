"""What beat sends runs as the application's role in the database, which may not do everything (decision 12)."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import current_app
from django.core.management import call_command
from django.db import ProgrammingError, connection, transaction
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules
from pytest_django import Settings

from carts.enums import RentalStatus
from carts.models import Rental
from carts.tests.factories import make_rental
from core import schedule
from core.models import ComponentPulse, IdempotencyKey, OutboxMessage, StateChange
from core.outbox import publish
from deploy.stack.postgres import APPLICATION
from devices.enums import CommandStatus, PresenceState
from devices.events import CommandFinished
from devices.models import Command, InboundMessage, Presence
from devices.tests.factories import make_command, make_device
from tenants.models import (
    BrowserSession,
    Chain,
    Grant,
    Invitation,
    OtpChallenge,
    RefreshToken,
    Registration,
    Role,
    SignInLink,
    User,
)
from tenants.services.privacy import write_journal
from tenants.tests.factories import make_branch, make_grant, make_phone, make_user

pytestmark = pytest.mark.django_db

# Makes the rows a task has to do with; the answer says whether it did.
Work = Callable[[], Callable[[], bool]]
LONG_AGO = timedelta(days=1000)


@pytest.fixture(autouse=True)
def _tasks_and_journal(tmp_path: Path, settings: Settings) -> None:
    autodiscover_modules("tasks")
    settings.ERASURE_JOURNAL = str(tmp_path / "erasures.jsonl")


@pytest.fixture
def as_application() -> Iterator[Callable[[], None]]:
    """Go on in the application's role, until the test ends."""
    with connection.cursor() as cursor:
        yield lambda: cursor.execute(f"SET ROLE {APPLICATION}")
        cursor.execute("RESET ROLE")


def gone(*rows: Any) -> Callable[[], bool]:
    return lambda: not any(type(row)._base_manager.filter(pk=row.pk).exists() for row in rows)


def old(row: Any, **times: Any) -> Any:
    """The row, made long ago."""
    type(row)._base_manager.filter(pk=row.pk).update(**(times or {"created_at": timezone.now() - LONG_AGO}))
    return row


def pulse() -> Callable[[], bool]:
    return lambda: ComponentPulse.objects.filter(name__in=("beat", "worker")).count() == 2


def waiting_event() -> Callable[[], bool]:
    publish(CommandFinished(command_id=make_rental(status=RentalStatus.PENDING_UNLOCK).unlock_command_id))
    return lambda: not OutboxMessage.objects.filter(done_at__isnull=True).exists()


def delivered_event() -> Callable[[], bool]:
    publish(CommandFinished(command_id=uuid4()))
    message = OutboxMessage.objects.latest("pk")
    return gone(old(message, done_at=timezone.now() - LONG_AGO))


def old_answer() -> Callable[[], bool]:
    return gone(old(IdempotencyKey.objects.create(scope="s", key="k", request_hash="h")))


def unanswered_command() -> Callable[[], bool]:
    command = make_command(expires_at=timezone.now() - timedelta(hours=1))
    return lambda: Command.objects.get(pk=command.pk).status == CommandStatus.EXPIRED


def silent_device() -> Callable[[], bool]:
    device = make_device()
    long_ago = timezone.now() - LONG_AGO
    Presence.objects.filter(device=device).update(last_heartbeat_at=long_ago, connected_at=long_ago)
    return lambda: Presence.objects.get(device=device).state == PresenceState.UNKNOWN


def days_of_telemetry() -> Callable[[], bool]:
    message = InboundMessage.objects.create(
        source_id=uuid4(), message_id=uuid4(), topic="t", payload={}, received_at=timezone.now() - LONG_AGO
    )
    tomorrow = f"devices_telemetryevent_{timezone.now() + timedelta(days=1):%Y%m%d}"
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {tomorrow}")
        cursor.execute("SELECT devices_make_telemetry_day('2020-01-01')")

    def days() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s), to_regclass('devices_telemetryevent_20200101')", [tomorrow])
            there, old_day = cursor.fetchone()
        return bool(there) and old_day is None

    message_gone = gone(message)
    return lambda: days() and message_gone()


def late_rental() -> Callable[[], bool]:
    rental = make_rental(status=RentalStatus.ACTIVE, expected_return=timezone.now() - timedelta(minutes=1))
    return lambda: Rental.objects.get(pk=rental.pk).status == RentalStatus.OVERDUE


def stuck_rental() -> Callable[[], bool]:
    rental = make_rental(status=RentalStatus.PENDING_UNLOCK)
    finished = {"status": CommandStatus.EXPIRED, "finished_at": timezone.now() - timedelta(minutes=5)}
    Command.objects.filter(pk=rental.unlock_command_id).update(**finished)
    return lambda: Rental.objects.get(pk=rental.pk).status == RentalStatus.VOIDED


def old_rental() -> Callable[[], bool]:
    """Of a customer who has nothing else, with the history that services write."""
    customer = old(make_user(phone=make_phone()))
    rental = old(make_rental(customer=customer, status=RentalStatus.RETURNED))
    Rental.objects.filter(pk=rental.pk).update(actual_return=timezone.now() - LONG_AGO)
    told = {"entity": "carts.rental", "entity_id": rental.pk, "field": "status", "from_state": "", "to_state": "active"}
    StateChange.objects.create(**told, actor=str(customer.pk))

    def forgotten() -> bool:
        left = StateChange.objects.filter(actor=str(customer.pk)).exists()
        return Rental.objects.get(pk=rental.pk).customer is None and not left and is_erased(customer)

    return forgotten


def spent_ways_in() -> Callable[[], bool]:
    past, user = timezone.now() - LONG_AGO, make_user()
    return gone(
        OtpChallenge.objects.create(phone=make_phone(), binding="api", code_hmac="x", expires_at=past),
        Registration.objects.create(email="a@example.com", password="!", language="en", expires_at=past),
        old(make_user(password="never proved this")),
        SignInLink.objects.create(token_hash="l", user=user, expires_at=past),
        RefreshToken.objects.create(token_hash="r", family=uuid4(), user=user, expires_at=past),
        BrowserSession.objects.create(session_key="s", session_data="", user=user, expire_date=past),
    )


def grants_that_ran_out() -> Callable[[], bool]:
    return gone(
        *(
            make_grant(
                user=make_user(), role=role, branch=make_branch(), expires_at=timezone.now() - timedelta(hours=1)
            )
            for role in ("branch_manager", "customer")
        )
    )


def people_nobody_knows() -> Callable[[], bool]:
    stranger = old(make_user())
    past = timezone.now() - LONG_AGO
    invitation = Invitation.objects.create(
        email="i@example.com", role=Role.objects.get(code="support"), token_hash="i", expires_at=past
    )
    invitation_gone = gone(invitation)
    return lambda: is_erased(stranger) and invitation_gone()


def is_erased(user: User) -> bool:
    return User.objects.get(pk=user.pk).erased_at is not None


WORK: dict[str, Work] = {
    "core.record_pulse": pulse,
    "core.sweep_outbox": waiting_event,
    "core.sweep_idempotency_keys": old_answer,
    "core.sweep_done": delivered_event,
    "devices.sweep_commands": unanswered_command,
    "devices.sweep_presence": silent_device,
    "devices.sweep_telemetry": days_of_telemetry,
    "carts.sweep_overdue_rentals": late_rental,
    "carts.sweep_pending_rentals": stuck_rental,
    "carts.sweep_old_rentals": old_rental,
    "tenants.sweep_sign_in": spent_ways_in,
    "tenants.sweep_expired_grants": grants_that_ran_out,
    "tenants.sweep_retention": people_nobody_knows,
}


def test_every_periodic_task_is_tried() -> None:
    assert set(WORK) == set(schedule._periodic)


@pytest.mark.parametrize("name", sorted(WORK))
def test_task_does_its_work_as_the_application(name: str, as_application: Callable[[], None]) -> None:
    done = WORK[name]()
    assert not done()
    as_application()

    current_app.tasks[name]()

    assert done()


def test_task_is_refused_what_the_application_may_not_control(as_application: Callable[[], None]) -> None:
    """Without its function the same task fails: the test above can tell."""
    old_rental()
    with connection.cursor() as cursor:
        cursor.execute(f"REVOKE EXECUTE ON FUNCTION core_forget_actors(bigint[]) FROM {APPLICATION}")
    as_application()

    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        current_app.tasks["carts.sweep_old_rentals"]()


def test_erasures_are_applied_again_as_the_application(as_application: Callable[[], None]) -> None:
    Chain.objects.update(retention_days=1)
    came_back, forgotten = make_user(phone=make_phone()), old_rental()
    make_grant(user=came_back, role="customer", branch=make_branch())
    write_journal(came_back.pk)
    as_application()

    call_command("reapply_erasures", stdout=StringIO())

    assert is_erased(came_back)
    assert forgotten()
    assert not Grant.objects.filter(user=came_back).exists()
