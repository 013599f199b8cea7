"""Which open pages show which events."""

from carts.events import CartChanged, RentalChanged
from carts.models import Rental
from core.live import branch_group, customer_group, hears, push
from devices.events import CommandAdvanced, PresenceChanged


@hears(RentalChanged)
def show_rental(event: RentalChanged) -> None:
    """To the customer's page and the manager's."""
    group, rental_id = customer_group(event.customer_id), str(event.rental_id)
    push(group, "rental.changed", rental_id=rental_id, snapshot=event.snapshot)
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
    waiting = Rental.objects.filter(unlock_command_id=event.command_id).values_list("pk", "customer_id").first()
    if waiting:
        push(customer_group(waiting[1]), "rental.advanced", rental_id=str(waiting[0]))
