"""What is shown of a hop: nothing once the lock itself has answered."""

import pytest

from carts import live
from carts.enums import RentalStatus
from carts.tests.factories import make_rental
from core.live import customer_group
from devices.events import CommandAdvanced
from devices.tests.factories import make_command

pytestmark = pytest.mark.django_db


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(live, "push", lambda group, kind, **data: told.append((group, data["rental_id"])))
    return told


def test_hop_of_a_rental_that_waits_is_shown_to_its_customer(pushed: list[tuple[str, str]]) -> None:
    rental = make_rental(status=RentalStatus.PENDING_UNLOCK)
    assert rental.unlock_command is not None

    live.show_hop(CommandAdvanced(rental.unlock_command.pk, rental.cart_id))

    assert pushed == [(customer_group(rental.customer_id), str(rental.pk))]


def test_hop_that_the_answer_overtook_or_that_nobody_waits_for_is_not_shown(pushed: list[tuple[str, str]]) -> None:
    rental, by_hand = make_rental(status=RentalStatus.ACTIVE), make_command()
    assert rental.unlock_command is not None

    live.show_hop(CommandAdvanced(rental.unlock_command.pk, rental.cart_id))
    live.show_hop(CommandAdvanced(by_hand.pk, None))

    assert pushed == []
