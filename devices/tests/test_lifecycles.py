"""Every step of the devices' life cycles, legal or not."""

import itertools

import pytest
from django.db import transaction

from core.models import StateChange
from core.tests.race import race_each
from core.transitions import IllegalTransition, transition
from devices.enums import COMMAND_TRANSITIONS, DEVICE_TRANSITIONS, OPEN_COMMANDS, CommandStatus, DeviceState
from devices.models import Command, Device
from devices.tests.factories import make_command, make_device

pytestmark = pytest.mark.django_db

# Written out here on purpose: a change of the product's tables must be a decision, not a slip.
DEVICE_STEPS = {
    ("prepared", "pending"),
    ("prepared", "active"),
    ("prepared", "revoked"),
    ("pending", "active"),
    ("pending", "revoked"),
    ("active", "pending"),
    ("active", "revoked"),
    ("revoked", "pending"),
    ("revoked", "active"),
}
ENDS = {"done", "failed", "expired", "unknown", "cancelled"}
COMMAND_STEPS = {("queued", "sent"), ("queued", "acked"), ("sent", "acked")} | {
    (open_, end) for open_ in ("queued", "sent", "acked") for end in ENDS
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(DeviceState.values, repeat=2)))
def test_device_goes_only_where_its_life_cycle_leads(before: str, after: str) -> None:
    device = make_device(state=before)

    moved = _try(device, after, DEVICE_TRANSITIONS, "state")

    device.refresh_from_db()
    legal = (before, after) in DEVICE_STEPS
    assert moved == ("moved" if legal else "same" if before == after else "illegal")
    assert device.state == (after if legal else before)
    assert StateChange.objects.count() == int(legal)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(CommandStatus.values, repeat=2)))
def test_command_goes_only_where_its_life_cycle_leads(before: str, after: str) -> None:
    command = make_command(status=before)

    moved = _try(command, after, COMMAND_TRANSITIONS, "status")

    command.refresh_from_db()
    legal = (before, after) in COMMAND_STEPS
    assert moved == ("moved" if legal else "same" if before == after else "illegal")
    assert command.status == (after if legal else before)
    assert StateChange.objects.count() == int(legal)


def test_open_commands_are_those_that_may_still_go_somewhere() -> None:
    assert set(OPEN_COMMANDS) == {before for before, _ in COMMAND_STEPS}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("seeded_bug", "moves"), [(False, 1), (True, 2)], ids=["compare-and-set", "control-without"])
def test_two_at_once_make_one_step(seeded_bug: bool, moves: int) -> None:
    """Both have read `active` before either writes."""
    device = make_device()
    copies = [Device.objects.get(pk=device.pk) for _ in range(2)]

    def revoke(copy: Device) -> None:
        with transaction.atomic():
            if seeded_bug:
                copy.state = DeviceState.REVOKED
                copy.save(update_fields=["state"])
                StateChange.objects.create(
                    entity="devices.device", entity_id=copy.pk, field="state", from_state="active", to_state="revoked"
                )
            else:
                transition(copy, to=DeviceState.REVOKED, table=DEVICE_TRANSITIONS, field="state")

    race_each([lambda copy=copy: revoke(copy) for copy in copies])

    assert StateChange.objects.filter(entity_id=device.pk).count() == moves


def _try(row: Device | Command, to: str, table: object, field: str) -> str:
    try:
        return "moved" if transition(row, to=to, table=table, field=field) else "same"
    except IllegalTransition:
        return "illegal"
