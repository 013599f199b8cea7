"""Life cycles: one function moves a state, and only along its table.

A state field is a `TextChoices`; beside it in `enums.py` stands its table `{state: {states it may go to}}`.
"""

from collections.abc import Mapping
from typing import Any

from django.db import connection, models

from core.models import StateChange

Table = Mapping[Any, frozenset[Any]]


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
    A compare-and-set on the row: of two racers one moves and the other is told what it finds. Two queries.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("a transition and what goes with it belong in one transaction")
    rows = type(instance)._base_manager.filter(pk=instance.pk)
    current = getattr(instance, field)
    while True:
        if current == to:
            return False
        if to not in table.get(current, frozenset()):
            raise IllegalTransition(instance, field, current, to)
        if rows.filter(**{field: current}).update(**{field: to}, **(also or {})):
            break
        # Somebody was faster; the row is locked by nobody now, so what it says is true.
        current = rows.values_list(field, flat=True).get()
        setattr(instance, field, current)
    for name, value in {field: to, **(also or {})}.items():
        setattr(instance, name, value)
    StateChange.objects.create(
        entity=instance._meta.label_lower,
        entity_id=instance.pk,
        field=field,
        from_state=current,
        to_state=to,
        reason=reason[:200],
        actor=str(getattr(actor, "pk", actor) or ""),
    )
    return True
