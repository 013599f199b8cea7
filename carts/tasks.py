"""Rental jobs."""

from datetime import timedelta

from celery import shared_task

from carts import services
from core.schedule import periodic

periodic("carts.sweep_overdue_rentals", timedelta(seconds=30))
periodic("carts.sweep_pending_rentals", timedelta(seconds=15))
periodic("carts.sweep_old_rentals", timedelta(days=1))


@shared_task(name="carts.sweep_overdue_rentals", expires=30)
def sweep_overdue_rentals() -> int:
    """Mark rentals that ran past their time."""
    return services.sweep_overdue_rentals()


@shared_task(name="carts.sweep_pending_rentals", expires=15)
def sweep_pending_rentals() -> int:
    """Settle rentals whose command ended unheard."""
    return services.sweep_pending_rentals()


@shared_task(name="carts.sweep_old_rentals")
def sweep_old_rentals() -> int:
    """Forget who rented, where the chain has kept it long enough."""
    return services.sweep_old_rentals()
