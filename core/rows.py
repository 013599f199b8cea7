"""Writing and deleting what a person changed: rows are checked as a whole, and the log says who did it."""

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction
from django.db.models import ProtectedError
from django.forms.models import model_to_dict
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
    before = None if new else {name: getattr(row, name, None) for name in changes}
    for name, value in changes.items():
        setattr(row, name, value)
    try:
        with transaction.atomic():
            row.full_clean()
            row.save(update_fields=None if new else list(changes))
            audit.record("created" if new else "changed", row, actor=actor, before=before, after=changes)
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
            audit.record("deleted", row, actor=actor, before=model_to_dict(row))
            row.delete()
    except ProtectedError:
        raise DomainError(when_used) from None
    logger.info("deleted", extra=about)


def note(what: str, row: models.Model, *, actor: object, **more: object) -> None:
    """Who did what to which row, in the audit and as a line in the log. `actor` is a person, or the name of a job."""
    audit.record(what, row, actor=actor, after=more or None)
    logger.info(what, extra={**_about(row, actor), **more})


def _about(row: models.Model, actor: object) -> dict[str, object]:
    who = str(getattr(actor, "pk", actor) or "")
    return {"entity": row._meta.label_lower, "entity_id": str(row.pk), "actor": who}
