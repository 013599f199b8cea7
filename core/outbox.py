"""Events that survive a crash: written with the change, delivered after the commit, retried until they succeed.

An event is a frozen dataclass of ids. `publish` writes one row per receiver in the caller's transaction; on commit the
same process delivers them at once, because a customer waits; `sweep` delivers whatever a crash left behind.
A receiver runs in one transaction with the row that says it is done, so its effect happens exactly once. It must not
talk to a network: whatever leaves the database goes out on commit or through a task.
"""

import dataclasses
import logging
import typing
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from core.models import OutboxMessage

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 8
FIRST_RETRY = timedelta(seconds=2)

E = typing.TypeVar("E")
Handler = Callable[[typing.Any], None]
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
    name = event_name(type(event))
    now = timezone.now()
    payload = {field.name: _to_json(getattr(event, field.name)) for field in dataclasses.fields(event)}  # type: ignore[arg-type]
    rows = OutboxMessage.objects.bulk_create(
        OutboxMessage(event=name, payload=payload, receiver=receiver, available_at=now)
        for receiver in _receivers.get(name, {})
    )
    for row in rows:
        transaction.on_commit(lambda pk=row.pk: deliver(pk), robust=True)  # type: ignore[misc]


def deliver(message_id: int) -> bool:
    """Run one receiver under the lock of its row. False when there is nothing (left) to do or it failed."""
    with transaction.atomic():
        row = (
            OutboxMessage.objects.select_for_update(skip_locked=True)
            .filter(pk=message_id, done_at__isnull=True, parked_at__isnull=True)
            .first()
        )
        if row is None:
            return False
        try:
            handler = _receivers[row.event][row.receiver]
            event = _from_json(_event_classes[row.event], row.payload)
            with transaction.atomic():
                handler(event)
        except Exception as error:
            _note_failure(row, error)
            return False
        OutboxMessage.objects.filter(pk=row.pk).update(done_at=timezone.now())
        return True


def sweep(limit: int = 500) -> int:
    """Deliver rows that nobody delivered: their process died, or an earlier try failed. Returns how many succeeded."""
    waiting = OutboxMessage.objects.filter(
        done_at__isnull=True, parked_at__isnull=True, available_at__lte=timezone.now()
    ).order_by("available_at")
    return sum(deliver(pk) for pk in list(waiting.values_list("pk", flat=True)[:limit]))


def _note_failure(row: OutboxMessage, error: Exception) -> None:
    logger.exception("receiver failed", extra={"receiver": row.receiver, "outbox_id": row.pk})
    row.attempts += 1
    row.last_error = f"{type(error).__name__}: {error}"[:2000]
    row.available_at = timezone.now() + FIRST_RETRY * 2**row.attempts
    if row.attempts >= MAX_ATTEMPTS:
        row.parked_at = timezone.now()
    row.save(update_fields=["attempts", "last_error", "available_at", "parked_at"])


def _to_json(value: object) -> object:
    return str(value) if isinstance(value, UUID) else value


def _from_json(event_class: type, payload: dict[str, object]) -> object:
    hints = typing.get_type_hints(event_class)
    return event_class(**{name: UUID(str(v)) if hints[name] is UUID else v for name, v in payload.items()})
