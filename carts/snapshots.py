"""A running rental as one message: what its page shows, so that a push costs the watching process no query.

Only for the moment a customer waits for, the opening. Everything else is read from the database when it is shown.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime

from carts.models import Cart, Rental
from devices.models import Command
from tenants.models import Branch

_RENTAL_TIMES = ("created_at", "start_time", "expected_return")
_COMMAND_TIMES = ("sent_at", "acked_at", "finished_at")


def take_snapshot(rental: Rental, cart: Cart, command: Command) -> dict[str, Any]:
    """Plain values alone. `rental` with its branch; no query."""
    return {
        "id": str(rental.pk),
        "status": rental.status,
        "cart_number": cart.cart_number,
        "time_zone": rental.branch.time_zone,
        "command_status": command.status,
        "rental_times": {name: _text(getattr(rental, name)) for name in _RENTAL_TIMES},
        "command_times": {name: _text(getattr(command, name)) for name in _COMMAND_TIMES},
    }


def restore_rental(snapshot: Mapping[str, Any]) -> Rental:
    """A rental to look at, never to save."""
    return Rental(
        id=UUID(snapshot["id"]),
        status=snapshot["status"],
        cart=Cart(cart_number=snapshot["cart_number"]),
        branch=Branch(time_zone=snapshot["time_zone"]),
        unlock_command=Command(status=snapshot["command_status"], **_times(snapshot["command_times"])),
        **_times(snapshot["rental_times"]),
    )


def _text(moment: Any) -> str | None:
    return moment.isoformat() if moment else None


def _times(texts: Mapping[str, str | None]) -> dict[str, Any]:
    return {name: parse_datetime(text) if text else None for name, text in texts.items()}
