"""Where a row belongs: models say it with `chain_path`, `branch_path` and `owner_path`.

Each is a look-up from the model ("pk" for itself, "cart__branch__chain"), or a tuple where one of several leads there.
"""

from typing import Any
from uuid import UUID

from django.db import models


def paths(model: type, name: str) -> tuple[str, ...]:
    """The look-ups a model names; none where it says nothing."""
    found = getattr(model, name, "")
    return found if isinstance(found, tuple) else (found,) if found else ()


def may_lie_somewhere(model: type[models.Model]) -> bool:
    """Whether a new row can lie in a chain or a branch, by a key of its own; others are the whole platform's."""
    ways = (path.partition("__")[0] for name in ("chain_path", "branch_path") for path in paths(model, name))
    return any(way != "pk" and bool(model._meta.get_field(way).many_to_one) for way in ways)


def walk(thing: object, path: str) -> UUID | None:
    """The key at the end of a look-up of foreign keys; None where there is none."""
    if not path or path == "branches":
        return None
    *steps, last = path.split("__")
    for step in steps:
        thing = getattr(thing, step, None)
    value = getattr(thing, last if last == "pk" or last.endswith("_id") else f"{last}_id", None)
    return value if isinstance(value, UUID) else None


def place_of(thing: Any) -> tuple[UUID | None, UUID | None]:
    """Chain and branch of a row. A query for each foreign key on the way that was not read yet."""
    # The class it says it is: whoever asks is a lazy object that stands for a person.
    model = thing.__class__
    found = [
        next((key for path in paths(model, name) if (key := walk(thing, path))), None)
        for name in ("chain_path", "branch_path")
    ]
    return found[0], found[1]
