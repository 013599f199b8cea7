"""What happened to devices."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class CommandAdvanced:
    """The device said it received a command. Live only: not kept for receivers that were away."""

    command_id: UUID
    target_id: UUID | None


@dataclass(frozen=True, slots=True)
class CommandFinished:
    """A command reached its end, by the device's word or by time-out."""

    command_id: UUID


@dataclass(frozen=True, slots=True)
class LockReported:
    """A Pi reported the state of a lock, asked or not. `seq` orders the reports of one cart; None: not ordered."""

    cart_id: UUID
    lock: str
    present: bool | None
    seq: int | None
    reported_at: str


@dataclass(frozen=True, slots=True)
class DeviceEnrolled:
    """A Pi was admitted as this device, perhaps in the place of another one; it remembers nothing of it."""

    device_id: UUID


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """A Pi came, went, or changed how well it can be reached. Live only."""

    device_id: UUID
    branch_id: UUID
