"""Audit rows in words: who, what, on what, before and after.

Names are looked up when rows are shown, never stored: an erased person is one everywhere at once. Who did something is
named to whoever may see the row; other things only where their own permission lets them be seen. One query for each
kind of thing on the page.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.db.models import Q
from django.utils import formats, timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from core import audit_words
from core.audit import HIDDEN
from core.models import ActorKind, AuditEntry
from tenants import access
from tenants.deeds import person_name
from tenants.models import User

_PERSON, _DEVICE, _CHAIN, _BRANCH = "tenants.user", "devices.device", "tenants.chain", "tenants.branch"
# Details that name a person without being a field of the thing.
_PEOPLE = frozenset({"user", "staff"})


@dataclass(frozen=True, slots=True)
class Named:
    """A thing as it is shown; `url` is empty where there is no page, or none the reader may see."""

    label: str
    url: str = ""
    known: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """One line of before → after; of lists what was added and taken away."""

    label: str
    before: str = ""
    after: str = ""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry with its words."""

    entry: AuditEntry
    who: Named
    behind: Named | None
    what: audit_words.Word
    kind: str
    thing: Named
    place: Named | None
    changes: tuple[Change, ...]

    @property
    def says_its_kind(self) -> bool:
        """Whether the name of the thing begins with what it is, as “Cart 14” does."""
        return self.thing.label.startswith(f"{self.kind} ")


@dataclass(slots=True)
class _Names:
    """What the ids of some entries stand for, by kind of thing."""

    asker: User
    wanted: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    found: dict[tuple[str, str], Named] = field(default_factory=dict)
    actors: dict[str, str] = field(default_factory=dict)

    def ask(self, label: str, key: object) -> None:
        if key:
            self.wanted[label].add(str(key))

    def look_up(self, actors: Iterable[UUID]) -> None:
        people = User.objects.in_bulk(list(actors))
        self.actors = {str(pk): person_name(user) for pk, user in people.items()}
        for label, keys in self.wanted.items():
            self._look_up_kind(label, keys)

    def _look_up_kind(self, label: str, keys: set[str]) -> None:
        kind = audit_words.kind_of(label)
        if kind is None:
            return
        model = apps.get_model(label)
        wanted = Q(pk__in=[key for key in keys if _is_key(model, key)])
        if kind.known_by:
            wanted |= Q(**{f"{kind.known_by}__in": keys})
        rows = model._default_manager.filter(wanted).select_related(*kind.related)
        for row in access.visible(self.asker, rows, kind.permission) if kind.permission else rows:
            named = Named(kind.name(row), kind.url(row))
            self.found[label, str(row.pk)] = named
            if kind.known_by:
                self.found[label, str(getattr(row, kind.known_by))] = named

    def named(self, label: str, key: object) -> Named:
        """Its name; where it is gone or not to be seen, the first signs of its id."""
        return self.found.get((label, str(key))) or Named(short(key), known=False)

    def actor(self, entry: AuditEntry) -> Named:
        if entry.actor_kind == ActorKind.JOB:
            return Named(audit_words.job(entry.actor_name))
        if entry.actor_kind == ActorKind.DEVICE:
            return self.named(_DEVICE, entry.actor_id)
        return self.person(entry.actor_id)

    def person(self, key: UUID | None) -> Named:
        page = self.found.get((_PERSON, str(key)))
        name = self.actors.get(str(key))
        return Named(name, page.url if page else "") if name else Named(short(key), known=False)


def short(key: object) -> str:
    """The first signs of an id, enough to tell two apart on a page."""
    text = str(key or "")
    return f"{text[:8]}…" if len(text) > 12 else text


def shown(asker: User, entries: Sequence[AuditEntry]) -> list[Shown]:
    """Entries in words, for this reader. One query for people and one for each other kind of thing."""
    names = _Names(asker)
    for entry in entries:
        _ask_for(names, entry)
    actors = {key for entry in entries for key in (entry.actor_id, entry.behind_id) if key}
    names.look_up(actors)
    return [
        Shown(
            entry=entry,
            who=names.actor(entry),
            behind=names.person(entry.behind_id) if entry.behind_id else None,
            what=audit_words.deed(entry.action),
            kind=audit_words.kind_name(entry.entity),
            thing=names.named(entry.entity, entry.entity_id),
            place=_place(names, entry),
            changes=tuple(_changes(names, entry)),
        )
        for entry in entries
    ]


def _ask_for(names: _Names, entry: AuditEntry) -> None:
    names.ask(entry.entity, entry.entity_id)
    names.ask(_CHAIN, entry.chain_id)
    names.ask(_BRANCH, entry.branch_id)
    names.ask(_DEVICE if entry.actor_kind == ActorKind.DEVICE else _PERSON, entry.actor_id)
    names.ask(_PERSON, entry.behind_id)
    for values in (entry.before, entry.after):
        for name, value in _details(values).items():
            label = _related(entry.entity, name)
            if label and value != HIDDEN:
                names.ask(label, value)


def _place(names: _Names, entry: AuditEntry) -> Named | None:
    if entry.branch_id:
        return names.named(_BRANCH, entry.branch_id)
    return names.named(_CHAIN, entry.chain_id) if entry.chain_id else None


def _changes(names: _Names, entry: AuditEntry) -> Iterable[Change]:
    before, after = _details(entry.before), _details(entry.after)
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name), after.get(name)
        column = _field(entry.entity, name)
        if column is not None and column.primary_key:
            continue
        if None in (entry.before, entry.after) and (was or now) in (None, "", [], {}):
            continue  # of something new or gone, what it has not is not news
        label = str(column.verbose_name) if column is not None else audit_words.detail(name)
        if isinstance(was, list) or isinstance(now, list):
            old, new = [str(each) for each in was or ()], [str(each) for each in now or ()]
            added = tuple(each for each in new if each not in old)
            yield Change(label, added=added, removed=tuple(each for each in old if each not in new))
        else:
            texts = [_text(names, entry.entity, name, value, column) for value in (was, now)]
            yield Change(label, before=texts[0] if name in before else "", after=texts[1] if name in after else "")


def _text(names: _Names, entity: str, name: str, value: Any, column: "models.Field[Any, Any] | None") -> str:
    if value == HIDDEN:
        return _("(not shown)")
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if label := _related(entity, name):
        return names.named(label, value).label
    if column is not None and column.choices:
        return str(dict(column.flatchoices).get(value, value))
    at = parse_datetime(value) if isinstance(value, str) and "T" in value else None
    if at is not None and timezone.is_aware(at):
        return formats.date_format(timezone.localtime(at), "j M Y H:i")
    return str(value)


def _details(values: object) -> Mapping[str, Any]:
    return values if isinstance(values, dict) else {}


def _field(entity: str, name: str) -> "models.Field[Any, Any] | None":
    try:
        found = apps.get_model(entity)._meta.get_field(name)
    except (LookupError, ValueError, FieldDoesNotExist):
        return None
    return found if isinstance(found, models.Field) else None


def _related(entity: str, name: str) -> str:
    """The kind of thing a detail names; "" where it is a plain value."""
    column = _field(entity, name)
    if column is None:
        return _PERSON if name in _PEOPLE else ""
    model = column.related_model if column.is_relation else None
    return model._meta.label_lower if isinstance(model, type) else ""


def _is_key(model: type[models.Model], key: str) -> bool:
    try:
        model._meta.pk.to_python(key)
    except ValidationError:
        return False
    return True
