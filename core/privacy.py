"""What is personal, said once by each model; and what follows: what audits hide, exports tell, erasure removes.

A model of ours says it in its `personal`; those of libraries are declared with `declare`.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from django.apps import apps
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.text import capfirst

from core.errors import DomainError


class NotErasable(DomainError):
    """Something of this person's still runs. Each obstacle raises a kind of its own."""


class OnErasure(Enum):
    """What becomes of a row when the person it is about is erased."""

    DELETE = "delete"
    BLANK = "blank"  # the row stays, its personal fields are emptied
    KEEP = "keep"  # it names its person by key alone, and whose key that was is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Personal:
    """What one model says about the people in it.

    `fields`: values that tell of a person. `subjects`: look-ups to the person a row is about ("pk" for the person's own
    row). `known_by`: where a row names its person by value, that field and the person's attribute with the value, or
    the values. `told`: look-ups an export tells of each row; secrets and other people are not among them.
    `only`: narrows which rows are told.
    """

    told: tuple[str, ...]
    fields: frozenset[str] = frozenset()
    subjects: tuple[str, ...] = ()
    known_by: Mapping[str, str] = field(default_factory=dict)
    on_erasure: OnErasure | Callable[[Any], object] = OnErasure.DELETE
    only: Q = field(default_factory=Q)

    def about(self, person: Any) -> Q:
        """The condition for rows about this person."""
        found = Q(pk__in=[])
        for path in self.subjects:
            found |= Q(**{path: person.pk})
        for name, attribute in self.known_by.items():
            for value in _values(getattr(person, attribute)):
                found |= Q(**{f"{name}__iexact": value})
        return found


_elsewhere: dict[type[models.Model], Personal] = {}
_obstacles: list[Callable[[Any], None]] = []
_sweeps: dict[str, Callable[[], int]] = {}


def declare(model: type[models.Model], personal: Personal) -> None:
    """Say it for a library's model."""
    _elsewhere[model] = personal


def personal_of(model: type[models.Model]) -> Personal | None:
    """What a model said, if it did."""
    found = getattr(model, "personal", None)
    return found if isinstance(found, Personal) else _elsewhere.get(model)


def declared() -> dict[type[models.Model], Personal]:
    """Every installed model with something personal in it."""
    found = {model: personal_of(model) for model in apps.get_models()}
    return {model: personal for model, personal in found.items() if personal is not None}


def prevents_erasure(check: Callable[[Any], None]) -> None:
    """Register what raises `NotErasable` while a person can't be erased; for apps above the one that erases."""
    _obstacles.append(check)


def require_erasable(person: Any) -> None:
    """Raises `NotErasable` while something of this person's still runs."""
    for check in _obstacles:
        check(person)


def erase(person: Any) -> None:
    """Do to every row about this person what its model said. Raises what the database raises; call it in a transaction.

    `person` still has the addresses and numbers that rows know them by.
    """
    # Conditions first: some ask for addresses that others of these rows hold.
    todo = [(model, personal, personal.about(person)) for model, personal in declared().items()]
    for _model, personal, _condition in todo:
        if callable(personal.on_erasure):
            personal.on_erasure(person)
    for model, personal, condition in todo:
        rows = model._base_manager.filter(condition)
        if personal.on_erasure is OnErasure.DELETE:
            rows.delete()
        elif personal.on_erasure is OnErasure.BLANK:
            rows.update(**{name: _nothing(model, name) for name in personal.fields})


def export(person: Any) -> Iterator[str]:
    """Everything about this person as one JSON document, in pieces: what is in it first, then the rows by kind.

    Some queries a kind; rows are read as they are told, so that no document is held as a whole.
    """
    kinds = declared()
    contents = [
        {"kind": model._meta.label_lower, "title": capfirst(str(model._meta.verbose_name_plural)), "fields": kind.told}
        for model, kind in kinds.items()
    ]
    head = {"person": person.pk, "made_at": timezone.now(), "contents": contents}
    yield f'{_json(head)[:-1]}, "data": {{'
    for number, (model, kind) in enumerate(kinds.items()):
        yield f'{", " if number else ""}\n"{model._meta.label_lower}": ['
        rows = model._base_manager.filter(kind.about(person)).filter(kind.only).order_by("pk").values(*kind.told)
        for position, row in enumerate(rows.iterator(chunk_size=500)):
            yield f"{', ' if position else ''}\n{_json(row)}"
        yield "]"
    yield "}}\n"


def retention(name: str, sweep: Callable[[], int]) -> None:
    """Register a sweep that forgets what was kept long enough; each counts what it forgot."""
    _sweeps[name] = sweep


def run_retention() -> dict[str, int]:
    """Run every sweep, those of the apps above first: what they forget lets go of people."""
    return {name: sweep() for name, sweep in reversed(_sweeps.items())}


def _values(value: Any) -> Collection[Any]:
    if not value:
        return ()
    return (value,) if isinstance(value, str) else value


def _nothing(model: type[models.Model], name: str) -> Any:
    column = model._meta.get_field(name)
    assert isinstance(column, models.Field)
    return None if column.null else ""


def _json(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
