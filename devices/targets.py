"""What hangs on a device's locks. The app that owns it (carts) lies above this one and registers how to ask."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class LockTarget:
    """A thing behind one lock."""

    id: UUID
    number: int
    controller_id: UUID
    locker_id: int


_provider: Callable[[UUID], list[LockTarget]] | None = None


def provide_lock_targets(provider: Callable[[UUID], list[LockTarget]]) -> None:
    """Register how to list the targets of a device (by its id)."""
    global _provider
    _provider = provider


def lock_targets(device_id: UUID) -> list[LockTarget]:
    """Everything behind the locks of a device. One query."""
    return _provider(device_id) if _provider else []
