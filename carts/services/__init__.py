"""Writes of the carts app."""

from carts.services.carts import command_cart, place_cart, put_in_maintenance, put_in_service
from carts.services.privacy import refuse_while_renting, sweep_old_rentals
from carts.services.rentals import (
    close_rental,
    report_not_opened,
    return_cart,
    start_chosen_rental,
    start_rental,
    sweep_overdue_rentals,
    sweep_pending_rentals,
)

__all__ = [
    "close_rental",
    "command_cart",
    "place_cart",
    "put_in_maintenance",
    "put_in_service",
    "refuse_while_renting",
    "report_not_opened",
    "return_cart",
    "start_chosen_rental",
    "start_rental",
    "sweep_old_rentals",
    "sweep_overdue_rentals",
    "sweep_pending_rentals",
]
