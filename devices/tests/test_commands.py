"""Commands as rows: queued, answered, timed out, cancelled."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from threading import Barrier
from uuid import uuid4

import psycopg
import pytest
from django.db import connection, transaction
from django.utils import timezone

from core import live
from core.errors import Unavailable
from core.models import OutboxMessage, StateChange
from core.tests.race import DEADLINE_S, lock_no_rows, race_each
from devices import services
from devices.enums import CommandStatus
from devices.events import CommandAdvanced
from devices.models import Command, InboundMessage
from devices.mqtt import inbound
from devices.mqtt.outbound import mark_sent
from devices.services.commands import ANSWER_GRACE, LIVE_FOR
from devices.tests.factories import make_command, make_device
from devices.tests.messages import answer, answer_topic, cart_topic, deliver_answer, device_topic, message

pytestmark = pytest.mark.django_db


def finished_events(command: Command) -> int:
    return OutboxMessage.objects.filter(event="devices.CommandFinished", payload__command_id=str(command.pk)).count()


def history(command: Command) -> list[tuple[str, str, str]]:
    rows = StateChange.objects.filter(entity_id=command.pk).order_by("pk")
    return list(rows.values_list("from_state", "to_state", "reason"))


def overdue(command: Command, *, by: timedelta) -> None:
    Command.objects.filter(pk=command.pk).update(expires_at=timezone.now() - by)


@pytest.fixture
def advanced(monkeypatch: pytest.MonkeyPatch) -> list[CommandAdvanced]:
    """What open pages were told about commands on their way."""
    told: list[CommandAdvanced] = []
    monkeypatch.setitem(live._listeners, CommandAdvanced, [told.append])
    return told


@contextmanager
def listening(channel: str) -> Iterator["psycopg.Connection[tuple[object]]"]:
    parameters = connection.get_connection_params()
    wanted = {name: parameters[name] for name in ("host", "port", "user", "password", "dbname") if name in parameters}
    with psycopg.connect(**wanted, autocommit=True) as listener:
        listener.execute(f"LISTEN {channel}")
        yield listener


# Queueing.


def test_command_is_addressed_to_the_present_connection_and_lives_seconds() -> None:
    device, cart_id = make_device(), uuid4()

    command = services.queue_command(device=device, type="unlock", target_id=cart_id, actor="test")

    row = Command.objects.get(pk=command.pk)
    assert row.status == CommandStatus.QUEUED
    assert row.connection_id == device.presence.connection_id
    assert row.topic == cart_topic(device, cart_id, "unlock")
    assert row.expires_at - row.issued_at == LIVE_FOR == timedelta(seconds=8)
    assert (row.sent_at, row.lease_until, row.actor) == (None, None, "test")


@pytest.mark.parametrize("type_", ["unlock", "lock", "open_door", "release_egress", "cancel", "identify"])
def test_live_command_to_a_device_that_is_away_is_refused(type_: str) -> None:
    device = make_device(connected=False)

    with pytest.raises(Unavailable):
        services.queue_command(device=device, type=type_, target_id=uuid4())

    assert not Command.objects.exists()


@pytest.mark.parametrize("state", ["prepared", "pending", "revoked"])
@pytest.mark.parametrize("type_", ["unlock", "restart"])
def test_command_to_a_device_that_is_not_let_in_is_refused(type_: str, state: str) -> None:
    device = make_device(state=state)

    with pytest.raises(Unavailable):
        services.queue_command(device=device, type=type_, target_id=uuid4())

    assert not Command.objects.exists()


@pytest.mark.parametrize("type_", ["apply_config", "install_firmware", "restart"])
def test_command_that_may_arrive_late_waits_for_a_device_that_is_away(type_: str) -> None:
    device = make_device(connected=False)

    command = services.queue_command(device=device, type=type_)

    assert command.connection_id is None
    assert command.topic == device_topic(device, "commands")
    assert command.expires_at - command.issued_at == timedelta(hours=24)


@pytest.mark.django_db(transaction=True)
def test_bridge_is_woken_on_commit_and_not_before() -> None:
    device = make_device()
    with listening("device_commands") as listener:
        with transaction.atomic():
            command = services.queue_command(device=device, type="identify")
            early = list(listener.notifies(timeout=0.05))
        woken = [note.payload for note in listener.notifies(timeout=5, stop_after=1)]

    assert (early, woken) == ([], [str(command.pk)])


@pytest.mark.django_db(transaction=True)
def test_rollback_leaves_no_command_and_wakes_nobody() -> None:
    device = make_device()
    with listening("device_commands") as listener:
        with transaction.atomic():
            services.queue_command(device=device, type="identify")
            transaction.set_rollback(True)
        # A later notification proves that the first would have come by now.
        with connection.cursor() as cursor:
            cursor.execute("NOTIFY device_commands, 'fence'")
        woken = [note.payload for note in listener.notifies(timeout=5, stop_after=1)]

    assert woken == ["fence"]
    assert not Command.objects.exists()


# Answers.


@pytest.mark.parametrize(
    ("outcome", "reason", "status"),
    [
        ("done", None, CommandStatus.DONE),
        ("failed", "no_reply", CommandStatus.FAILED),
        ("failed", "bad_frame", CommandStatus.FAILED),
        ("failed", "not_observed", CommandStatus.FAILED),
        ("refused", "wrong_connection", CommandStatus.FAILED),
        ("refused", "clock_unknown", CommandStatus.FAILED),
        ("refused", "retained", CommandStatus.FAILED),
        ("refused", "busy", CommandStatus.FAILED),
        ("refused", "unsupported", CommandStatus.FAILED),
        ("refused", "interlock", CommandStatus.FAILED),
        ("refused", "expired", CommandStatus.EXPIRED),
        ("refused", "cancelled", CommandStatus.CANCELLED),
        ("unknown", None, CommandStatus.UNKNOWN),
        # A reason that does not fit hides nothing that was done.
        ("done", "cancelled", CommandStatus.DONE),
        ("failed", "cancelled", CommandStatus.FAILED),
        ("unknown", "cancelled", CommandStatus.UNKNOWN),
        ("failed", "expired", CommandStatus.FAILED),
    ],
)
@pytest.mark.parametrize("before", [CommandStatus.QUEUED, CommandStatus.SENT, CommandStatus.ACKED])
def test_answer_ends_an_open_command(before: str, outcome: str, reason: str | None, status: str) -> None:
    command = make_command(status=before)

    deliver_answer(command, outcome, reason=reason, timing_ms={"received_to_wire": 1.5})

    assert (command.status, command.reason) == (status, reason or "")
    assert command.finished_at is not None
    assert command.timing_ms == {"received_to_wire": 1.5}
    assert history(command) == [(before, status, reason or "")]
    assert finished_events(command) == 1


def test_evidence_of_a_done_command_is_kept() -> None:
    command = make_command()

    deliver_answer(command, "done", lock="unlocked", present=False, seq=7)

    assert (command.lock, command.present, command.seq) == ("unlocked", False, 7)


@pytest.mark.parametrize("before", [CommandStatus.QUEUED, CommandStatus.SENT])
def test_acked_advances_and_is_told_live_only(
    before: str,
    advanced: list[CommandAdvanced],
    django_capture_on_commit_callbacks: Callable[..., AbstractContextManager[object]],
) -> None:
    command = make_command(status=before)

    with django_capture_on_commit_callbacks(execute=True):
        deliver_answer(command, "acked")

    assert command.status == CommandStatus.ACKED
    assert command.acked_at is not None
    assert advanced == [CommandAdvanced(command.pk, command.target_id)]
    assert not OutboxMessage.objects.exists()


def test_acked_after_the_end_is_ignored(advanced: list[CommandAdvanced]) -> None:
    command = make_command()
    deliver_answer(command, "done")

    deliver_answer(command, "acked")

    assert (command.status, command.acked_at, command.late_result) == (CommandStatus.DONE, None, None)
    assert (advanced, finished_events(command)) == ([], 1)


def test_same_message_twice_counts_once() -> None:
    command = make_command()
    payload = answer(command, "done")

    inbound.handle(answer_topic(command), payload)
    inbound.handle(answer_topic(command), payload)

    assert InboundMessage.objects.count() == 1
    assert (finished_events(command), len(history(command))) == (1, 1)


def test_same_answer_in_a_new_message_counts_once() -> None:
    command = make_command()

    deliver_answer(command, "done")
    deliver_answer(command, "done")

    assert list(InboundMessage.objects.order_by("pk").values_list("rejected", flat=True)) == ["", "repeated"]
    assert (finished_events(command), len(history(command))) == (1, 1)


def test_answer_before_the_sent_mark_wins() -> None:
    command = make_command()
    deliver_answer(command, "done")

    mark_sent([command.pk])

    command.refresh_from_db()
    assert command.status == CommandStatus.DONE
    assert history(command) == [("queued", "done", "")]


@pytest.mark.parametrize("source", ["another-cart", "another-device", "another-devices-cart"])
def test_answer_from_a_foreign_topic_is_rejected_and_noted(source: str) -> None:
    command, other = make_command(), make_device()
    topics = {
        "another-cart": cart_topic(command.device, uuid4()),
        "another-device": device_topic(other),
        "another-devices-cart": cart_topic(other, uuid4()),
    }

    inbound.handle(topics[source], answer(command, "done"))

    command.refresh_from_db()
    assert (command.status, finished_events(command)) == (CommandStatus.QUEUED, 0)
    assert InboundMessage.objects.get().rejected == "unknown-command"


def test_cart_commands_answer_on_the_devices_topic_is_rejected() -> None:
    command = make_command()

    inbound.handle(device_topic(command.device), answer(command, "done"))

    command.refresh_from_db()
    assert command.status == CommandStatus.QUEUED
    assert InboundMessage.objects.get().rejected == "unknown-command"


def test_answer_to_a_device_command_counts_on_the_devices_topic_only() -> None:
    command = make_command(type="identify")

    inbound.handle(cart_topic(command.device, uuid4()), answer(command, "done"))
    command.refresh_from_db()
    before = command.status
    inbound.handle(device_topic(command.device), answer(command, "done"))

    command.refresh_from_db()
    assert (before, command.status) == (CommandStatus.QUEUED, CommandStatus.DONE)


def test_answer_to_a_command_nobody_gave_is_rejected() -> None:
    device = make_device()

    inbound.handle(device_topic(device), message(command_id=uuid4(), outcome="done"))

    assert InboundMessage.objects.get().rejected == "unknown-command"
    assert not OutboxMessage.objects.exists()


def _careless_transition(command: Command, *, to: str, also: dict[str, object], **kwargs: object) -> bool:
    Command.objects.filter(pk=command.pk).update(status=to, **also)
    return True


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("seeded_bug", "expected"), [(False, 1), (True, 2)], ids=["lock", "control-without-lock"])
def test_two_answers_at_once_end_the_command_once(
    seeded_bug: bool, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two bridges take `done` and `failed`; the control has neither the row's lock nor the compare-and-set."""
    if seeded_bug:
        both_read, status_of = Barrier(2), services.commands._status_of
        lock_no_rows(monkeypatch)
        monkeypatch.setattr("devices.services.commands.transition", _careless_transition)
        monkeypatch.setattr(
            "devices.services.commands._status_of", lambda *words: (both_read.wait(DEADLINE_S), status_of(*words))[1]
        )
    command = make_command()
    topic = answer_topic(command)

    race_each(
        [
            lambda: inbound.handle(topic, answer(command, "done")),
            lambda: inbound.handle(topic, answer(command, "failed", reason="no_reply")),
        ]
    )

    assert finished_events(command) == expected


# Late answers.


@pytest.mark.parametrize("ended", [CommandStatus.UNKNOWN, CommandStatus.EXPIRED])
def test_late_answer_is_recorded_and_changes_nothing_about_the_command(ended: str) -> None:
    command = make_command(status=ended, finished_at=timezone.now())

    deliver_answer(command, "done", lock="unlocked", present=True, seq=9)

    assert command.status == ended
    assert command.late_result is not None
    assert (command.late_result["outcome"], command.late_result["lock"]) == ("done", "unlocked")
    assert InboundMessage.objects.get().rejected == "late"
    assert finished_events(command) == 0


def test_late_answer_still_tells_the_lock() -> None:
    command = make_command(status=CommandStatus.UNKNOWN)

    deliver_answer(command, "done", lock="unlocked", present=True, seq=9)

    [told] = OutboxMessage.objects.filter(event="devices.LockReported")
    assert (told.payload["cart_id"], told.payload["lock"], told.payload["seq"]) == (
        str(command.target_id),
        "unlocked",
        9,
    )


# The clock.


def test_command_nobody_sent_expires_at_its_time() -> None:
    command = make_command()
    overdue(command, by=timedelta(milliseconds=1))

    ended = services.expire_overdue_commands()

    command.refresh_from_db()
    assert (ended, command.status, command.reason) == (1, CommandStatus.EXPIRED, "expired")
    assert finished_events(command) == 1


@pytest.mark.parametrize("status", [CommandStatus.SENT, CommandStatus.ACKED])
def test_sent_command_without_an_answer_becomes_unknown_after_its_grace(status: str) -> None:
    command = make_command(status=status, sent_at=timezone.now())
    overdue(command, by=ANSWER_GRACE / 2)
    early = services.expire_overdue_commands()
    overdue(command, by=ANSWER_GRACE + timedelta(milliseconds=1))

    ended = services.expire_overdue_commands()

    command.refresh_from_db()
    assert (early, ended, command.status) == (0, 1, CommandStatus.UNKNOWN)


def test_claimed_command_may_have_been_published_and_so_becomes_unknown_after_its_grace() -> None:
    command = make_command(lease_until=timezone.now())
    overdue(command, by=ANSWER_GRACE / 2)
    early = services.expire_overdue_commands()
    overdue(command, by=ANSWER_GRACE + timedelta(milliseconds=1))

    services.expire_overdue_commands()

    command.refresh_from_db()
    assert (early, command.status) == (0, CommandStatus.UNKNOWN)


def test_command_within_its_time_is_left_alone() -> None:
    command = make_command()

    assert services.expire_overdue_commands() == 0
    command.refresh_from_db()
    assert command.status == CommandStatus.QUEUED


@pytest.mark.django_db(transaction=True)
def test_two_sweepers_end_each_command_once() -> None:
    commands = [make_command() for _ in range(6)]
    for command in commands:
        overdue(command, by=timedelta(seconds=1))

    ended = race_each([services.expire_overdue_commands] * 3)

    assert sum(ended) == len(commands)
    assert [finished_events(command) for command in commands] == [1] * len(commands)


# Cancelling.


def test_command_that_was_never_sent_is_cancelled_at_once() -> None:
    command = make_command()

    services.cancel_command(command=command, actor="test")

    command.refresh_from_db()
    assert (command.status, command.reason) == (CommandStatus.CANCELLED, "cancelled")
    assert Command.objects.count() == 1


@pytest.mark.parametrize("status", [CommandStatus.SENT, CommandStatus.ACKED])
def test_command_under_way_is_cancelled_by_asking_the_device(status: str) -> None:
    command = make_command(status=status)

    services.cancel_command(command=command, actor="test")

    command.refresh_from_db()
    request = Command.objects.get(type="cancel")
    assert command.status == status
    assert (request.device_id, request.args) == (command.device_id, {"command_id": str(command.pk)})
    assert request.topic == device_topic(command.device, "commands")


def test_claimed_command_is_cancelled_by_asking_the_device() -> None:
    command = make_command(lease_until=timezone.now())

    services.cancel_command(command=command, actor="test")

    command.refresh_from_db()
    assert command.status == CommandStatus.QUEUED
    assert Command.objects.filter(type="cancel").exists()


@pytest.mark.parametrize("status", [CommandStatus.DONE, CommandStatus.EXPIRED, CommandStatus.CANCELLED])
def test_ended_command_is_not_cancelled(status: str) -> None:
    command = make_command(status=status)

    services.cancel_command(command=command, actor="test")

    command.refresh_from_db()
    assert command.status == status
    assert Command.objects.count() == 1
