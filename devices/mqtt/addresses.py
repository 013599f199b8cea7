"""Topics of our rows."""

from uuid import UUID

from devices.models import Device
from pi_client.contract import cart_topic, device_topic

CART_COMMANDS = ("unlock", "lock")


def command_topic(device: Device, type_: str, target_id: UUID | None) -> str:
    """Where a command is published: the cart's topic for cart commands, else the device's."""
    branch = device.branch
    if type_ in CART_COMMANDS and target_id is not None:
        return cart_topic(branch.chain.slug, branch.code, target_id, type_)
    return device_topic(branch.chain.slug, branch.code, device.pk, "commands")


def device_root(device: Device) -> str:
    """The part of a device's topics before the last level."""
    return device_topic(device.branch.chain.slug, device.branch.code, device.pk, "status").rpartition("/")[0]


def device_topics(device: Device) -> tuple[list[str], list[str]]:
    """Topics the device itself (publishes to, receives from)."""
    branch = device.branch
    own = [
        device_topic(branch.chain.slug, branch.code, device.pk, leaf) for leaf in ("status", "telemetry", "commands")
    ]
    return own[:2], own[2:]


def cart_topics(device: Device, cart_id: UUID) -> tuple[list[str], list[str]]:
    """Topics of a cart on one of the device's controllers it (publishes to, receives from)."""
    branch = device.branch
    own = [cart_topic(branch.chain.slug, branch.code, cart_id, leaf) for leaf in ("status", "unlock", "lock")]
    return own[:1], own[1:]
