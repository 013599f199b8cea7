"""A question about access as an address asks it, for the page and for REST."""

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.http import QueryDict

from core.errors import NotFound
from tenants import access, directory
from tenants.explain import at_best
from tenants.kinds import Kind, kinds
from tenants.models import User


@dataclass(frozen=True, slots=True)
class Question:
    """Who, what and about which thing; whatever is not chosen yet is None."""

    person: User
    permission: str
    kind: Kind | None
    thing: models.Model | None


def question_of(asker: User, given: QueryDict, *, person: str = "person", thing: str = "thing") -> Question:
    """What an address asks. Raises `NotFound` for people, kinds and things the asker doesn't see.

    Everybody may ask about themselves; about others, whoever may see who holds what.
    """
    kind_name, thing_key = given.get("kind", ""), given.get(thing, "")
    kind = kinds().get(kind_name)
    if kind_name and kind is None:
        raise NotFound
    found = kind.find(asker, thing_key) if kind and thing_key else None
    if thing_key and found is None:
        raise NotFound
    return Question(_person(asker, given.get(person, "")), given.get("permission", "")[:60], kind, found)


def _person(asker: User, key: str) -> User:
    if not key or key == str(asker.pk):
        return asker
    if not access.may(asker, "grants:view"):
        raise NotFound
    try:
        found: Any = directory.with_factor(directory.people_visible_to(asker)).filter(pk=key).first()
    except (ValueError, ValidationError):
        found = None
    if found is None:
        raise NotFound
    return at_best(found, has_factor=found.has_factor)
