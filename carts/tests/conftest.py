"""The Pi behind a cart, as the bridge hears it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from carts.models import Cart, Rental
from devices import services
from devices.mqtt import inbound
from devices.tests.messages import answer, answer_topic, cart_topic, lock_report

Capture = Callable[..., AbstractContextManager[object]]


class Pi:
    """Says something; what follows from it on commit has happened when the call returns."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture

    def answers(self, rental: Rental, outcome: str = "done", **fields: Any) -> None:
        """To the rental's unlock; `rental` and its cart are then as their rows."""
        assert rental.unlock_command is not None
        with self._capture(execute=True):
            inbound.handle(answer_topic(rental.unlock_command), answer(rental.unlock_command, outcome, **fields))
        _refresh(rental)

    def reports(self, cart: Cart, **fields: Any) -> None:
        """A change at the lock that nobody asked for."""
        assert cart.controller is not None
        with self._capture(execute=True):
            inbound.handle(cart_topic(cart.controller.device, cart.pk), lock_report(**fields))
        cart.refresh_from_db()

    def says_nothing(self, rental: Rental) -> None:
        """Until the clock has ended the rental's unlock."""
        with self._capture(execute=True):
            assert services.expire_overdue_commands() == 1
        _refresh(rental)


def _refresh(rental: Rental) -> None:
    rental.refresh_from_db()
    rental.cart.refresh_from_db()
    if rental.unlock_command:
        rental.unlock_command.refresh_from_db()


@pytest.fixture
def pi(db: None, django_capture_on_commit_callbacks: Capture) -> Pi:
    return Pi(django_capture_on_commit_callbacks)
