"""Writing and deleting what a person changed: rows are checked as a whole, and the log says who did it."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext_lazy as _

from core import audit
from core.errors import DomainError, InvalidInput, Text

logger = logging.getLogger(__name__)

M = TypeVar("M", bound=models.Model)


def save_row(row: M, *, changes: Mapping[str, Any], actor: object) -> M:
    """Set fields of a new or stored row and write it. Raises `InvalidInput`, with the errors of each field.

    Of a stored row only `changes` are written, so that what others changed meanwhile stays.
    """
    new = row._state.adding
    try:
        with transaction.atomic():
            before = None if new else _stored(row, changes)
            for name, value in changes.items():
                setattr(row, name, value)
            row.full_clean()
            row.save(update_fields=None if new else list(changes))
            _record(row, before, _values(row, changes), actor)
    except ValidationError as error:
        raise InvalidInput(errors=error.message_dict) from None
    except IntegrityError:
        raise InvalidInput(_("Somebody saved the same at this moment.")) from None
    logger.info("created" if new else "changed", extra={**_about(row, actor), "fields": sorted(changes)})
    return row


def delete_row(row: models.Model, *, actor: object, when_used: Text = "") -> None:
    """Delete a row. Raises `DomainError`, which says `when_used`, while others that must stay refer to it."""
    about = _about(row, actor)
    try:
        with transaction.atomic():
            # Before the row goes, and its key and its place with it.
            before = {field.name: field.value_from_object(row) for field in row._meta.concrete_fields}
            audit.record("deleted", row, actor=actor, before=before)
            row.delete()
    except ProtectedError:
        raise DomainError(when_used) from None
    logger.info("deleted", extra=about)


def note(what: str, row: models.Model, *, actor: object, reason: str = "", **more: object) -> None:
    """Who did what to which row, in the audit and as a line in the log. `actor` is as `audit.record` takes it."""
    audit.record(what, row, actor=actor, after=more or None, reason=reason)
    logger.info(what, extra=_about(row, actor))


def _values(row: models.Model, names: Iterable[str]) -> dict[str, Any]:
    """What the row holds now, by field; of a related row its key."""
    fields = [row._meta.get_field(name) for name in names]
    return {field.name: field.value_from_object(row) for field in fields if isinstance(field, models.Field)}


def _stored(row: models.Model, names: Iterable[str]) -> dict[str, Any]:
    """What the database holds until then, locked. A form may have written the new values into `row` already."""
    stored = row._meta.model._base_manager.select_for_update(no_key=True).filter(pk=row.pk).first()
    return _values(stored, names) if stored else {}


def _record(row: models.Model, before: Mapping[str, Any] | None, after: Mapping[str, Any], actor: object) -> None:
    """A new row with all it was made with; of a stored one what is different now, and nothing where nothing is."""
    if before is None:
        audit.record("created", row, actor=actor, after=after)
        return
    moved = [name for name, value in after.items() if before.get(name) != value]
    if moved:
        audit.record(
            "changed",
            row,
            actor=actor,
            before={name: before.get(name) for name in moved},
            after={name: after[name] for name in moved},
        )


def _about(row: models.Model, actor: object) -> dict[str, object]:
    who = str(getattr(actor, "pk", actor) or "")
    return {"entity": row._meta.label_lower, "entity_id": str(row.pk), "actor": who}
