"""Preparing devices: controllers, configuration, firmware, addresses known before delivery."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from core import audit
from core.rows import delete_row, note, save_row
from devices import notify
from devices.models import DEFAULT_PORT, Controller, Device, KnownMac, Presence
from devices.services.commands import queue_command
from tenants.models import Branch, Chain

# Who a command to fetch the configuration comes from when no person changed it.
_NOBODY = "configuration"


@transaction.atomic
def prepare_device(*, branch: Branch, name: str, actor: object = _NOBODY) -> Device:
    """A device that waits for its hardware; the same name in the branch is the same device."""
    device, created = Device.objects.get_or_create(branch=branch, name=name)
    Presence.objects.get_or_create(device=device)
    if created:
        note("created", device, actor=actor, branch=branch.pk, name=name)
    return device


def rename_device(*, device: Device, name: str, actor: object) -> Device:
    """Raises `InvalidInput`, for one when the branch has another device of that name."""
    return save_row(device, changes={"name": name}, actor=actor)


def place_controller(
    *, device: Device, address: int, port: str = DEFAULT_PORT, actor: object = _NOBODY, **fields: Any
) -> Controller:
    """A lock board on one of the device's buses; the same port and address is the same board. Raises `InvalidInput`."""
    where = {"device": device, "port": port, "address": address}
    with transaction.atomic():
        if placed := Controller.objects.filter(**where).first():
            return placed
        placed = save_row(Controller(), changes=where | fields, actor=actor)
        bump_config(device_ids=[device.pk], actor=actor)
    return placed


def change_controller(*, controller: Controller, actor: object, **fields: Any) -> Controller:
    """Change where a board hangs on its device or how it speaks. Raises `InvalidInput`."""
    with transaction.atomic():
        row = save_row(controller, changes=fields, actor=actor)
        bump_config(device_ids=[row.device_id], actor=actor)
    return row


def remove_controller(*, controller: Controller, actor: object) -> None:
    """Take a board away. Raises `DomainError` while a cart hangs on it."""
    with transaction.atomic():
        delete_row(controller, actor=actor, when_used=_("Carts hang on this board. Move them to another one first."))
        bump_config(device_ids=[controller.device_id], actor=actor)


def add_known_mac(*, chain: Chain, mac_address: str, actor: object) -> KnownMac:
    """A Pi with this address (`AA:BB:CC:DD:EE:FF`) need not wait for approval in this chain. Raises `InvalidInput`."""
    return save_row(KnownMac(), changes={"chain": chain, "mac_address": mac_address}, actor=actor)


def change_known_mac(*, known: KnownMac, chain: Chain, mac_address: str, actor: object) -> KnownMac:
    """Mend an address, or say that another chain owns it. Raises `InvalidInput`."""
    return save_row(known, changes={"chain": chain, "mac_address": mac_address}, actor=actor)


def remove_known_mac(*, known: KnownMac, actor: object) -> None:
    """A Pi with this address waits for approval again; one that was let in stays."""
    delete_row(known, actor=actor)


def bump_config(*, device_ids: list[UUID], actor: object = _NOBODY) -> None:
    """What hangs on these devices changed: they fetch their configuration anew, and the broker learns their topics."""
    with transaction.atomic():
        Device.objects.filter(pk__in=device_ids).update(config_version=F("config_version") + 1)
        for device in Device.objects.filter(pk__in=device_ids).select_related("branch__chain", "presence"):
            notify.wake(notify.RIGHTS, device.pk)
            if hasattr(device, "presence") and device.presence.connection_id:
                queue_command(device=device, type="apply_config", actor=actor)


def request_firmware(*, device: Device, version: str, actor: object) -> Device:
    """Ask a device to install a firmware; it may learn of it late, with a heartbeat."""
    with transaction.atomic():
        before, device.wanted_firmware = device.wanted_firmware, version
        device.save(update_fields=["wanted_firmware"])
        wanted, was = {"wanted_firmware": version}, {"wanted_firmware": before}
        audit.record("firmware sent", device, actor=actor, before=was, after=wanted)
        queue_command(device=device, type="install_firmware", args={"version": version}, actor=actor)
    return device


def restart_device(*, device: Device, actor: object) -> None:
    """Ask a device to restart; it may learn of it late, with a heartbeat. Raises `Unavailable`."""
    _tell(device, "restart", "restart sent", actor)


def send_config(*, device: Device, actor: object) -> None:
    """Have a device fetch its configuration anew, with its next heartbeat at the latest. Raises `Unavailable`."""
    _tell(device, "apply_config", "configuration sent", actor)


def _tell(device: Device, type: str, what: str, actor: object) -> None:
    with transaction.atomic():
        queue_command(device=device, type=type, actor=actor)
        audit.record(what, device, actor=actor)
