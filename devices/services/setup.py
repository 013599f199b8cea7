"""Preparing devices: controllers, configuration, firmware."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from devices import notify
from devices.models import DEFAULT_PORT, Controller, Device, Presence
from devices.services.commands import queue_command
from tenants.models import Branch


def prepare_device(*, branch: Branch, name: str) -> Device:
    """A device that waits for its hardware; the same name in the branch is the same device."""
    device, _ = Device.objects.get_or_create(branch=branch, name=name)
    Presence.objects.get_or_create(device=device)
    return device


def place_controller(*, device: Device, address: int, port: str = DEFAULT_PORT, **fields: Any) -> Controller:
    """A lock board on one of the device's buses; the same port and address is the same board."""
    with transaction.atomic():
        controller, created = Controller.objects.get_or_create(
            device=device, port=port, address=address, defaults=fields
        )
        if created:
            bump_config(device_ids=[device.pk])
    return controller


def bump_config(*, device_ids: list[UUID]) -> None:
    """What hangs on these devices changed: they fetch their configuration anew, and the broker learns their topics."""
    with transaction.atomic():
        Device.objects.filter(pk__in=device_ids).update(config_version=F("config_version") + 1)
        for device in Device.objects.filter(pk__in=device_ids).select_related("branch__chain", "presence"):
            notify.wake(notify.RIGHTS, device.pk)
            if hasattr(device, "presence") and device.presence.connection_id:
                queue_command(device=device, type="apply_config", actor="configuration")


def request_firmware(*, device: Device, version: str, actor: object) -> Device:
    """Ask a device to install a firmware; it may learn of it late, with a heartbeat."""
    with transaction.atomic():
        device.wanted_firmware = version
        device.save(update_fields=["wanted_firmware"])
        queue_command(device=device, type="install_firmware", args={"version": version}, actor=actor)
    return device
