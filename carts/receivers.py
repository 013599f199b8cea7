"""What devices say, told to rentals. Each runs exactly once, in one transaction with its outbox row."""

from carts.services.carts import start_lock_order_anew
from carts.services.rentals import note_lock_report, settle_unlock
from core.outbox import receives
from devices.events import CommandFinished, DeviceEnrolled, LockReported


@receives(CommandFinished)
def settle_finished_command(event: CommandFinished) -> None:
    """Start or void the rental that waited for this command."""
    settle_unlock(command_id=event.command_id)


@receives(LockReported)
def take_lock_report(event: LockReported) -> None:
    """Follow the lock; a closed one with its cart ends a rental."""
    note_lock_report(cart_id=event.cart_id, lock=event.lock, present=event.present, seq=event.seq)


@receives(DeviceEnrolled)
def forget_lock_order(event: DeviceEnrolled) -> None:
    """Its carts' reports are counted anew."""
    start_lock_order_anew(device_id=event.device_id)
