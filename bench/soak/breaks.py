"""Seeded bugs: each takes one protection out of the product, so that the campaign can be seen to catch it."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any
from unittest.mock import ANY, patch
from uuid import UUID, uuid4

from django.db import connection
from django.utils import timezone

from carts.models import Cart, Rental
from devices.models import Command
from pi_client.bus import Bus
from pi_client.cart_commands import Attempt
from pi_client.cart_state import CartState
from pi_client.clock import ServerClock
from pi_client.contract import Command as CommandMessage
from pi_client.contract import CommandType, LockState, Reason, encode
from pi_client.ports import Entry
from pi_client.session import Decision, Session

from .pi import Pi, Store


class JournalAfterFiring(Store):
    """A command is written down only with its answer."""

    def accept(self, command_id: UUID, *, target_id: UUID, topic: str, numbered: bool) -> int | None:
        # Above every number the real journal gives, which begin with the date in milliseconds.
        return 10**15 + self.world.random.randrange(10**6)


class Forgetful(Store):
    """Nothing is ever recognised; each copy is new."""

    def find(self, command_id: UUID) -> Entry | None:
        return None

    def accept(self, command_id: UUID, *, target_id: UUID, topic: str, numbered: bool) -> int | None:
        with self._transaction(durable=True) as connection:
            connection.execute("DELETE FROM journal WHERE command_id = ?", (str(command_id),))
        return super().accept(command_id, target_id=target_id, topic=topic, numbered=numbered)


def _journal() -> AbstractContextManager[object]:
    return patch.object(Pi, "make_store", JournalAfterFiring)


def _dedupe() -> AbstractContextManager[object]:
    return patch.object(Pi, "make_store", Forgetful)


def _expiry() -> AbstractContextManager[object]:
    objection = Session._objection

    def careless(self: Session, command: CommandMessage, *, late: bool) -> Reason | None:
        reason = objection(self, command, late=late)
        return None if reason is Reason.EXPIRED else reason

    return patch.object(Session, "_objection", careless)


def _connection() -> AbstractContextManager[object]:
    objection = Session._objection

    def careless(self: Session, command: CommandMessage, *, late: bool) -> Reason | None:
        return objection(self, command, late=True)

    return patch.object(Session, "_objection", careless)


def _retained() -> AbstractContextManager[object]:
    receive = Session.receive

    def careless(self: Session, command: CommandMessage, *, retained: bool, **facts: Any) -> Decision:
        return receive(self, command, retained=False, **facts)

    return patch.object(Session, "receive", careless)


def _clock() -> AbstractContextManager[object]:
    """The Pi goes by its own clock."""

    def now(self: ServerClock) -> datetime:
        return self._clock.wall()

    return patch.object(ServerClock, "now", now)


def _evidence() -> AbstractContextManager[object]:
    """Whatever a board answers after the pulse, the hook is taken to be open."""

    def is_evidence(self: Bus, attempt: Attempt) -> bool:
        attempt.last = CartState(LockState.UNLOCKED, None)
        return True

    return patch.object(Bus, "_is_evidence", is_evidence)


def _states() -> AbstractContextManager[object]:
    """A cart is reported as it was before the unlock that is under way."""

    def tell_everything(self: Bus) -> None:
        trackers = {cart_id: tracker for unit in self.units for cart_id, tracker in unit.trackers.items()}
        told = {cart_id: tracker.told for cart_id, tracker in trackers.items() if tracker.told is not None}
        self._desk.tell_states(told, changed=False)

    return patch.object(Bus, "_tell_everything", tell_everything)


def _foreign() -> AbstractContextManager[object]:
    """An answer counts whoever gives it."""
    return patch("devices.services.commands._answers_from", lambda command: ANY)


def _claim() -> AbstractContextManager[object]:
    def publish_command(command_id: UUID, publish: Callable[[str, bytes, UUID], bool]) -> bool:
        row = Command.objects.get(pk=command_id)
        if row.connection_id is None:
            return False
        message = CommandMessage(
            message_id=uuid4(),
            sent_at=timezone.now(),
            command_id=row.pk,
            type=CommandType(row.type),
            connection_id=row.connection_id,
            issued_at=row.issued_at,
            expires_at=row.expires_at,
            args=json.loads(json.dumps(row.args)),
        )
        return publish(row.topic, encode(message), command_id)

    return patch("devices.mqtt.outbound.publish_command", publish_command)


@contextmanager
def _lock() -> Iterator[None]:
    """Neither the cart's row lock nor the constraint behind it."""
    constraint = next(one for one in Rental._meta.constraints if one.name == "one_open_rental_per_cart")

    def lock_cart(cart_id: UUID) -> Cart:
        rows = Cart.objects.select_related(
            "branch__chain", "controller__device__branch__chain", "controller__device__presence"
        )
        return rows.get(pk=cart_id)

    with connection.schema_editor() as editor:
        editor.remove_constraint(Rental, constraint)
    try:
        with patch("carts.services.rentals.lock_cart", lock_cart):
            yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE carts_rental CASCADE")
        with connection.schema_editor() as editor:
            editor.add_constraint(Rental, constraint)


BREAKS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "journal": _journal,
    "expiry": _expiry,
    "connection": _connection,
    "claim": _claim,
    "lock": _lock,
    "dedupe": _dedupe,
    "retained": _retained,
    "clock": _clock,
    "evidence": _evidence,
    "states": _states,
    "foreign": _foreign,
}
