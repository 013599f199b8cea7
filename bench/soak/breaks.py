"""Seeded bugs: each takes one protection out of the product, so that the campaign can be seen to catch it."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import patch
from uuid import UUID, uuid4

from django.db import connection
from django.utils import timezone

from carts.models import Cart, Rental
from devices.models import Command
from pi_client.contract import Command as CommandMessage
from pi_client.contract import CommandType, Reason, encode
from pi_client.ports import Entry
from pi_client.session import Session

from .pi import Pi, Store


class JournalAfterFiring(Store):
    """A command is written down only with its answer."""

    def accept(self, command_id: UUID, *, target_id: UUID, topic: str, numbered: bool) -> int | None:
        return 10**6 + self.world.random.randrange(10**6)


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


def _claim() -> AbstractContextManager[object]:
    def publish_command(command_id: UUID, publish: Callable[[str, bytes, UUID], None]) -> bool:
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
        publish(row.topic, encode(message), command_id)
        return True

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
}
