"""Builders of devices and what hangs on them. Every argument goes by name; what is left out is made up and valid."""

from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from django.utils import timezone

from devices.enums import CommandStatus, DeviceState, PresenceState
from devices.models import Command, Controller, Device, Presence
from devices.mqtt.addresses import CART_COMMANDS, command_topic
from devices.services.tokens import issue_token, signed
from tenants.models import Branch
from tenants.tests.factories import make_branch

_numbers = count(1)


def make_device(*, branch: Branch | None = None, connected: bool = True, **fields: Any) -> Device:
    """An active device, on an MQTT connection of its own when `connected`, else offline."""
    number = next(_numbers)
    mac_address = ":".join(f"{number:012X}"[index : index + 2] for index in range(0, 12, 2))
    made_up = {"name": f"pi-{number}", "mac_address": mac_address, "serial_number": f"RPI-{number}"}
    branch = branch or make_branch()
    device = Device.objects.create(branch=branch, **{**made_up, "state": DeviceState.ACTIVE, **fields})
    now = timezone.now()
    up = {"state": PresenceState.ONLINE, "connection_id": uuid4(), "boot_id": uuid4(), "connected_at": now}
    Presence.objects.create(device=device, **(up | {"last_heartbeat_at": now} if connected else {}))
    return device


def make_controller(*, device: Device | None = None, address: int | None = None, **fields: Any) -> Controller:
    """A board, on a connected device of its own unless one is named, at the first free address."""
    device = device or make_device()
    if address is None:
        address = device.controllers.count()
    return Controller.objects.create(device=device, address=address, **fields)


def make_command(
    *,
    device: Device | None = None,
    type: str = "unlock",
    target_id: UUID | None = None,
    status: str = CommandStatus.QUEUED,
    **fields: Any,
) -> Command:
    """A command's row as if queued just now; nobody is woken. A cart command without a cart gets a made-up one."""
    device = device or make_device()
    if target_id is None and type in CART_COMMANDS:
        target_id = uuid4()
    now = timezone.now()
    queued = {
        "topic": command_topic(device, type, target_id),
        "connection_id": device.presence.connection_id,
        "issued_at": now,
        "expires_at": now + timedelta(seconds=8),
    }
    return Command.objects.create(device=device, type=type, target_id=target_id, status=status, **{**queued, **fields})


def make_device_token(*, device: Device) -> str:
    """A bearer token the device uses already."""
    return signed(issue_token(device=device, shown=True))
