"""Which open pages show which events."""

from carts.events import CartChanged, RentalChanged
from carts.models import Rental
from core.live import branch_group, hears, push, rental_group
from devices.events import CommandAdvanced, PresenceChanged


@hears(RentalChanged)
def show_rental(event: RentalChanged) -> None:
    """To the customer's page and the manager's."""
    push(rental_group(event.rental_id), "rental.changed")
    push(branch_group(event.branch_id), "branch.changed", cart_id=str(event.cart_id))


@hears(CartChanged)
def show_cart(event: CartChanged) -> None:
    """To the manager's page."""
    push(branch_group(event.branch_id), "branch.changed", cart_id=str(event.cart_id))


@hears(PresenceChanged)
def show_presence(event: PresenceChanged) -> None:
    """To the manager's page."""
    push(branch_group(event.branch_id), "branch.changed", device_id=str(event.device_id))


@hears(CommandAdvanced)
def show_hop(event: CommandAdvanced) -> None:
    """To the page of the customer who waits for this command."""
    rental_id = Rental.objects.filter(unlock_command_id=event.command_id).values_list("pk", flat=True).first()
    if rental_id:
        push(rental_group(rental_id), "rental.changed")
