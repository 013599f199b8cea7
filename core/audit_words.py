"""How audit rows are told: each app says what its deeds are called and how its things are named and found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.utils.text import capfirst

from core.errors import Text


@dataclass(frozen=True, slots=True)
class Word:
    """What a deed is called, and how it looks: ok, warn, bad or info."""

    text: Text
    kind: str = "info"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing.

    `permission` is needed to see its name ("": none), `related` is what the name is made of, `known_by` is a field that
    details may name it by instead of its key.
    """

    permission: str
    known_by: str = ""
    related: tuple[str, ...] = ()
    name: Callable[[Any], str] = str
    url: Callable[[Any], str] = lambda thing: ""


_deeds: dict[str, Word] = {}
_kinds: dict[str, Kind] = {}
_jobs: dict[str, Text] = {}
_details: dict[str, Text] = {}


def tell_deeds(words: Mapping[str, Word]) -> None:
    """Say what actions are called."""
    _deeds.update(words)


def tell_kind(label: str, kind: Kind) -> None:
    """Say how things of a model (`app.model`, in small letters) are named and found."""
    _kinds[label] = kind


def tell_jobs(words: Mapping[str, Text]) -> None:
    """Say what those are called who do something without being a person."""
    _jobs.update(words)


def tell_details(words: Mapping[str, Text]) -> None:
    """Say what details are called that are no fields of the thing."""
    _details.update(words)


def deed(action: str) -> Word:
    """What an action is called; itself where nobody said."""
    return _deeds.get(action) or Word(action.capitalize())


def deeds() -> Mapping[str, Word]:
    """All of them."""
    return _deeds


def kind_of(label: str) -> Kind | None:
    """What an app said of its things."""
    return _kinds.get(label)


def kinds() -> list[tuple[str, str]]:
    """(label, name) of every kind of thing, by name."""
    return sorted(((label, kind_name(label)) for label in _kinds), key=lambda pair: pair[1])


def kind_name(label: str) -> str:
    """What things of a model are called."""
    try:
        return capfirst(str(apps.get_model(label)._meta.verbose_name))
    except (LookupError, ValueError):
        return label


def job(name: str) -> str:
    """What a job or command is called; itself where nobody said."""
    return str(_jobs.get(name, name))


def detail(name: str) -> str:
    """What a detail is called; itself where nobody said."""
    return str(_details.get(name, name.replace("_", " ")))
