"""Choices and life cycles of the devices app."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class DeviceState(models.TextChoices):
    """Whether a Pi is let in."""

    PREPARED = "prepared", _("Prepared")
    PENDING = "pending", _("Waits for approval")
    ACTIVE = "active", _("Active")
    REVOKED = "revoked", _("Revoked")


DEVICE_TRANSITIONS: dict[str, frozenset[str]] = {
    DeviceState.PREPARED: frozenset({DeviceState.PENDING, DeviceState.ACTIVE, DeviceState.REVOKED}),
    DeviceState.PENDING: frozenset({DeviceState.ACTIVE, DeviceState.REVOKED}),
    DeviceState.ACTIVE: frozenset({DeviceState.PENDING, DeviceState.REVOKED}),
    DeviceState.REVOKED: frozenset({DeviceState.PENDING, DeviceState.ACTIVE}),
}


class PresenceState(models.TextChoices):
    """Whether a Pi can be reached. `unknown`: the platform itself is blind."""

    ONLINE = "online", _("Online")
    DEGRADED = "degraded", _("Degraded")
    OFFLINE = "offline", _("Offline")
    UNKNOWN = "unknown", _("Unknown")


class Protocol(models.TextChoices):
    """What a lock board speaks."""

    KERONG_CU16 = "kerong-cu16", "KERONG CU16"
    OEM_8A = "8a", "8A"


class CommandStatus(models.TextChoices):
    """Life of a command."""

    QUEUED = "queued", _("Queued")
    SENT = "sent", _("Sent")
    ACKED = "acked", _("Received")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    EXPIRED = "expired", _("Expired")
    UNKNOWN = "unknown", _("Unknown")
    CANCELLED = "cancelled", _("Cancelled")


_FINAL = frozenset(
    {
        CommandStatus.DONE,
        CommandStatus.FAILED,
        CommandStatus.EXPIRED,
        CommandStatus.UNKNOWN,
        CommandStatus.CANCELLED,
    }
)
# An answer may overtake the note that the command was sent, so every open state may end in any way.
COMMAND_TRANSITIONS: dict[str, frozenset[str]] = {
    CommandStatus.QUEUED: _FINAL | {CommandStatus.SENT, CommandStatus.ACKED},
    CommandStatus.SENT: _FINAL | {CommandStatus.ACKED},
    CommandStatus.ACKED: _FINAL,
}
OPEN_COMMANDS = (CommandStatus.QUEUED, CommandStatus.SENT, CommandStatus.ACKED)
