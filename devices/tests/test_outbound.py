"""Command rows out: claimed once, published once within a lease, again when the bridge died."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.utils import timezone

from core.tests.race import race
from devices import services
from devices.enums import CommandStatus
from devices.models import Command
from devices.mqtt.outbound import LEASE, mark_sent, publish_command, waiting_commands
from devices.services.commands import ANSWER_GRACE
from devices.services.presence import Heartbeat
from devices.tests.factories import make_command, make_device
from pi_client.contract import Command as CommandMessage
from pi_client.contract import decode

pytestmark = pytest.mark.django_db


class Wire:
    """What was published."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []

    def publish(self, topic: str, payload: bytes, command_id: UUID) -> bool:
        decode(CommandMessage, payload)
        body = json.loads(payload)
        assert body["command_id"] == str(command_id)
        self.messages.append((topic, body))
        return True


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_command_is_published_as_its_row_says(wire: Wire) -> None:
    command = make_command(args={"why": "test"})

    published = publish_command(command.pk, wire.publish)

    [(topic, body)] = wire.messages
    command.refresh_from_db()
    assert (published, topic, body["type"], body["v"]) == (True, command.topic, "unlock", 1)
    assert (body["connection_id"], body["args"]) == (str(command.connection_id), {"why": "test"})
    lifetime = _time(body["expires_at"]) - _time(body["issued_at"])
    assert abs(lifetime - timedelta(seconds=8)) < timedelta(milliseconds=2)
    assert command.status == CommandStatus.QUEUED
    assert command.sent_at is not None
    assert command.lease_until - command.sent_at == LEASE


def _time(text: str) -> Any:
    from django.utils.dateparse import parse_datetime

    return parse_datetime(text)


def test_command_is_not_published_twice_within_its_lease(wire: Wire) -> None:
    command = make_command()

    published = [publish_command(command.pk, wire.publish) for _ in range(3)]

    assert (published, len(wire.messages)) == ([True, False, False], 1)
    assert waiting_commands() == []


def test_command_of_a_bridge_that_died_is_claimed_again_after_the_lease(wire: Wire) -> None:
    command = make_command()

    def power_cut(*args: object) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        publish_command(command.pk, power_cut)
    within = publish_command(command.pk, wire.publish)
    Command.objects.update(lease_until=timezone.now() - timedelta(milliseconds=1))
    waiting = waiting_commands()

    again = publish_command(command.pk, wire.publish)

    assert (within, waiting, again, len(wire.messages)) == (False, [command.pk], True, 1)


def expired_without_a_connection(command: Command) -> Command:
    """Our connection was gone each time a bridge had claimed it, until its time was over."""
    published = publish_command(command.pk, lambda *args: False)
    assert published is False
    Command.objects.update(expires_at=timezone.now() - ANSWER_GRACE - timedelta(milliseconds=1))
    services.expire_overdue_commands()
    command.refresh_from_db()
    return command


def test_command_that_never_went_out_expires_as_never_sent() -> None:
    command = expired_without_a_connection(make_command())

    assert (command.status, command.lease_until, command.sent_at) == (CommandStatus.EXPIRED, None, None)


def test_command_that_went_out_once_ends_unknown_whatever_came_later(wire: Wire) -> None:
    command = make_command()
    publish_command(command.pk, wire.publish)
    Command.objects.update(lease_until=timezone.now() - timedelta(milliseconds=1))
    command.refresh_from_db()
    sent_at = command.sent_at

    command = expired_without_a_connection(command)

    assert (command.status, command.sent_at) == (CommandStatus.UNKNOWN, sent_at)


def test_command_that_did_not_go_out_waits_to_be_claimed_at_once(wire: Wire) -> None:
    command = make_command()
    publish_command(command.pk, lambda *args: False)

    assert waiting_commands() == [command.pk]
    assert publish_command(command.pk, wire.publish) is True


@pytest.mark.parametrize(
    "change",
    [
        {"status": CommandStatus.SENT},
        {"status": CommandStatus.DONE},
        {"status": CommandStatus.CANCELLED},
        {"expires_at": "past"},
        {"connection_id": None},
        {"connection_id": UUID(int=1)},
    ],
    ids=["sent", "done", "cancelled", "past its time", "to nobody", "to a connection that is gone"],
)
def test_command_that_is_not_to_go_out_does_not(wire: Wire, change: dict[str, Any]) -> None:
    if change.get("expires_at"):
        change = {"expires_at": timezone.now()}
    command = make_command()
    Command.objects.update(**change)

    assert (publish_command(command.pk, wire.publish), wire.messages) == (False, [])
    assert waiting_commands() == []


def test_late_command_of_a_connection_that_is_gone_comes_with_a_heartbeat(wire: Wire) -> None:
    device = make_device()
    command = make_command(device=device, type="restart")
    services.record_birth(device_id=device.pk, connection_id=uuid4(), boot_id=uuid4(), firmware_version="2.0.0")

    published = publish_command(command.pk, wire.publish)

    assert (published, wire.messages) == (False, [])
    assert services.record_heartbeat(device=device, heartbeat=Heartbeat()) == [command]


def test_oldest_waits_first() -> None:
    device, now = make_device(), timezone.now()
    commands = [make_command(device=device, issued_at=now + timedelta(milliseconds=n)) for n in (3, 1, 2)]

    assert waiting_commands() == [commands[1].pk, commands[2].pk, commands[0].pk]


@pytest.mark.django_db(transaction=True)
def test_two_bridges_at_once_publish_once(wire: Wire) -> None:
    command = make_command()

    answers = race(lambda: publish_command(command.pk, wire.publish), times=6)

    assert (sorted(answers), len(wire.messages)) == ([False] * 5 + [True], 1)


@pytest.mark.django_db(transaction=True)
def test_two_bridges_at_once_publish_once_control(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a claim that lasts no time every bridge publishes."""
    monkeypatch.setattr("devices.mqtt.outbound.LEASE", timedelta(seconds=-1))
    command = make_command()

    race(lambda: publish_command(command.pk, wire.publish), times=6)

    assert len(wire.messages) == 6


def test_sent_mark_comes_once_and_only_on_queued_commands() -> None:
    command = make_command()

    mark_sent([command.pk])
    mark_sent([command.pk])

    command.refresh_from_db()
    assert command.status == CommandStatus.SENT
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM core_statechange WHERE entity_id = %s", [command.pk])
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("status", [CommandStatus.ACKED, CommandStatus.DONE, CommandStatus.CANCELLED])
def test_sent_mark_after_an_answer_says_nothing(status: str) -> None:
    command = make_command(status=status)

    mark_sent([command.pk])

    command.refresh_from_db()
    assert command.status == status
