"""Events that survive a crash: written with the change, delivered after the commit, retried until they succeed.

An event is a frozen dataclass of ids. `publish` writes one row per receiver in the caller's transaction; on commit the
same process delivers them at once, because a customer waits; `sweep` delivers whatever a crash left behind.
A receiver runs in one transaction with the row that says it is done, so its effect happens exactly once. It must not
talk to a network: whatever leaves the database goes out on commit or through a task.
"""

import dataclasses
import json
import logging
import typing
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from core.models import OutboxMessage
from core.rows import note

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 8
FIRST_RETRY = timedelta(seconds=2)
KEEP_DONE = timedelta(days=7)

E = typing.TypeVar("E")
Handler = Callable[[Any], None]
_event_classes: dict[str, type] = {}
_receivers: dict[str, dict[str, Handler]] = {}


def event_name(event_class: type) -> str:
    """`carts.RentalEnded` for `carts.events.RentalEnded`."""
    return f"{event_class.__module__.split('.')[0]}.{event_class.__name__}"


def receives(event_class: type[E]) -> Callable[[Callable[[E], None]], Callable[[E], None]]:
    """Register a function as a receiver of an event; its dotted path is its stable name in the rows."""

    def register(handler: Callable[[E], None]) -> Callable[[E], None]:
        name = event_name(event_class)
        _event_classes[name] = event_class
        _receivers.setdefault(name, {})[f"{handler.__module__}.{handler.__name__}"] = handler
        return handler

    return register


def publish(event: object) -> None:
    """Write an event for each of its receivers. Must run inside the transaction of the change. One query."""
    if not connection.in_atomic_block:
        raise RuntimeError("publish() outside a transaction could tell of a change that never happened")
    name, now = event_name(type(event)), timezone.now()
    receivers = _receivers.get(name, {})
    if not receivers:
        return
    payload = Jsonb({field.name: _to_json(getattr(event, field.name)) for field in dataclasses.fields(event)})  # type: ignore[arg-type]
    values: list[Any] = [name, payload, now, now, list(receivers)]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO core_outboxmessage (event, payload, receiver, created_at, available_at, attempts, last_error)"
            " SELECT %s, %s, receiver, %s, %s, 0, '' FROM unnest(%s::text[]) AS receiver RETURNING id",
            values,
        )
        for (pk,) in cursor.fetchall():
            # A lambda, not a partial: Django asks a robust callback that failed for its `__qualname__`.
            transaction.on_commit(lambda pk=pk: deliver(pk), robust=True)  # type: ignore[misc]


def deliver(message_id: int) -> bool:
    """Run one receiver under the lock of its row. False when there is nothing (left) to do or it failed."""
    try:
        with transaction.atomic():
            claimed = _claim(message_id)
            if claimed is None:
                return False
            event, receiver, payload = claimed
            _receivers[event][receiver](_from_json(_event_classes[event], payload))
    except Exception as error:
        _note_failure(message_id, error)
        return False
    return True


def _claim(message_id: int) -> tuple[str, str, dict[str, object]] | None:
    """Lock a waiting row and mark it done, which holds if this transaction does. (event, receiver, payload)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE core_outboxmessage SET done_at = %s WHERE id = (SELECT id FROM core_outboxmessage"
            " WHERE id = %s AND done_at IS NULL AND parked_at IS NULL FOR UPDATE SKIP LOCKED)"
            " RETURNING event, receiver, payload::text",
            [timezone.now(), message_id],
        )
        row = cursor.fetchone()
    return (row[0], row[1], json.loads(row[2])) if row else None


def sweep(limit: int = 500) -> int:
    """Deliver rows that nobody delivered: their process died, or an earlier try failed. Returns how many succeeded."""
    waiting = OutboxMessage.objects.filter(
        done_at__isnull=True, parked_at__isnull=True, available_at__lte=timezone.now()
    ).order_by("available_at")
    return sum(deliver(pk) for pk in list(waiting.values_list("pk", flat=True)[:limit]))


def forget_done() -> int:
    """Delete rows delivered long ago; parked ones stay for a person."""
    return OutboxMessage.objects.filter(done_at__lt=timezone.now() - KEEP_DONE).delete()[0]


def try_again(*, message: OutboxMessage, actor: object) -> bool:
    """Take a message off the shelf and deliver it now; when it fails again, the sweep goes on trying.

    False when it was not parked or failed again.
    """
    parked = OutboxMessage.objects.filter(pk=message.pk, parked_at__isnull=False)
    if not parked.update(parked_at=None, attempts=0, available_at=timezone.now()):
        return False
    note("tried again", message, actor=actor)
    return deliver(message.pk)


def _note_failure(message_id: int, error: Exception) -> None:
    with transaction.atomic():
        row = OutboxMessage.objects.select_for_update().filter(pk=message_id, done_at__isnull=True).first()
        if row is None:
            return
        logger.error("receiver failed", exc_info=error, extra={"receiver": row.receiver, "outbox_id": row.pk})
        row.attempts += 1
        row.last_error = f"{type(error).__name__}: {error}"[:2000]
        row.available_at = timezone.now() + FIRST_RETRY * 2**row.attempts
        if row.attempts >= MAX_ATTEMPTS:
            row.parked_at = timezone.now()
        row.save(update_fields=["attempts", "last_error", "available_at", "parked_at"])


def _to_json(value: object) -> object:
    return str(value) if isinstance(value, UUID) else value


def _from_json(event_class: type, payload: dict[str, object]) -> object:
    hints = _hints(event_class)
    return event_class(**{name: UUID(str(v)) if hints[name] is UUID else v for name, v in payload.items()})


@cache
def _hints(event_class: type) -> dict[str, object]:
    return typing.get_type_hints(event_class)
