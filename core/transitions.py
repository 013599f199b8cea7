"""Life cycles: one function moves a state, and only along its table.

A state field is a `TextChoices`; beside it in `enums.py` stands its table `{state: {states it may go to}}`.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from django.db import connection, models
from django.utils import timezone

from core.compiled import assignment
from core.models import StateChange

Table = Mapping[Any, frozenset[Any]]

# The compare-and-set and its history row in one statement: an unlock makes five of them while a customer waits.
_MOVE = (
    'WITH moved AS (UPDATE "{table}" SET {written} WHERE "{key}" = %s AND "{field}" = %s RETURNING 1)'
    ' INSERT INTO "{history}" (entity, entity_id, field, from_state, to_state, reason, actor, at)'
    " SELECT %s, %s, %s, %s, %s, %s, %s, %s FROM moved"
)


class IllegalTransition(Exception):
    """The life cycle has no such step; nothing was written."""

    def __init__(self, instance: models.Model, field: str, current: str, to: str) -> None:
        super().__init__(f"{instance._meta.label} {instance.pk}: {field} can't go from {current!r} to {to!r}")
        self.current = current


def transition(
    instance: models.Model,
    *,
    to: str,
    table: Table,
    field: str = "status",
    reason: str = "",
    actor: object = "",
    also: Mapping[str, Any] | None = None,
) -> bool:
    """Move `instance` to a state and write its history row; `also` are other fields written in the same statement.

    True when it moved, False when it was there already (a duplicate changes nothing). Raises `IllegalTransition`.
    A compare-and-set on the row: of two racers one moves and the other is told what it finds. One query.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("a transition and what goes with it belong in one transaction")
    current = getattr(instance, field)
    written = {field: to, **(also or {})}
    while True:
        if current == to:
            return False
        if to not in table.get(current, frozenset()):
            raise IllegalTransition(instance, field, current, to)
        if _move(instance, field, current, written, reason, actor):
            break
        # Somebody was faster; the row is locked by nobody now, so what it says is true.
        current = type(instance)._base_manager.filter(pk=instance.pk).values_list(field, flat=True).get()
        setattr(instance, field, current)
    for name, value in written.items():
        setattr(instance, name, value)
    return True


def forget_actors(changes: models.QuerySet[StateChange]) -> None:
    """Whose doing these changes were is kept no longer; the rest of their rows stays. Two queries.

    History only grows for the application's role: a function of its owner empties that one column.
    """
    ids = list(changes.values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute("SELECT core_forget_actors(%s)", [ids])


def _move(
    instance: models.Model, field: str, current: str, written: Mapping[str, Any], reason: str, actor: object
) -> bool:
    model = type(instance)
    columns, statement = _statement(model, field, tuple(written))
    values = [
        column.get_db_prep_save(value, connection) for column, value in zip(columns, written.values(), strict=True)
    ]
    history = [model._meta.label_lower, instance.pk, field, current, written[field], reason[:200]]
    by = str(getattr(actor, "pk", actor) or "")
    with connection.cursor() as cursor:
        cursor.execute(statement, [*values, instance.pk, current, *history, by, timezone.now()])
        moved: bool = cursor.rowcount == 1
    return moved


@cache
def _statement(
    model: type[models.Model], field: str, names: tuple[str, ...]
) -> tuple[Sequence["models.Field[Any, Any]"], str]:
    columns, written = assignment(model, names)
    statement = _MOVE.format(
        table=model._meta.db_table,
        written=written,
        key=model._meta.pk.column,
        field=assignment(model, (field,))[0][0].column,
        history=StateChange._meta.db_table,
    )
    return columns, statement
