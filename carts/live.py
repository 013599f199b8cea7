"""Which open pages show which events."""

from carts.enums import RentalStatus
from carts.events import CartChanged, RentalChanged
from carts.models import Rental
from core.live import branch_group, customer_group, hears, push
from devices.events import CommandAdvanced, PresenceChanged


@hears(RentalChanged)
def show_rental(event: RentalChanged) -> None:
    """To the customer's page and the manager's."""
    if event.customer_id:
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


@hears(CommandAdvanced, late=True)
def show_hop(event: CommandAdvanced) -> None:
    """To the page of the customer who waits for this command, unless the lock was faster: its answer shows it too."""
    waiting = Rental.objects.filter(unlock_command_id=event.command_id, status=RentalStatus.PENDING_UNLOCK)
    for pk, customer_id in waiting.values_list("pk", "customer_id"):
        assert customer_id  # an open rental has one
        push(customer_group(customer_id), "rental.changed", rental_id=str(pk), snapshot=None)
