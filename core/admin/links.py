"""Pieces of admin pages: links between objects, JSON to read, states as coloured words."""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar, cast

from django.contrib import admin
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.errors import Text

# The classes of the theme's own labels; its stylesheet holds no others.
_BADGES = {
    "success": ("●", "bg-green-100 text-green-700 dark:bg-green-500/20 dark:text-green-400"),
    "warning": ("◆", "bg-orange-100 text-orange-700 dark:bg-orange-500/20 dark:text-orange-400"),
    "danger": ("■", "bg-red-100 text-red-700 dark:bg-red-500/20 dark:text-red-400"),
    "info": ("●", "bg-blue-100 text-blue-700 dark:bg-blue-500/20 dark:text-blue-400"),
}

F = TypeVar("F", bound=Callable[..., Any])


def state_column(*, description: Text, labels: Mapping[str, str], ordering: str | None = None) -> Callable[[F], F]:
    """A method that answers (state, word) or None, shown as a badge; `labels` says which kind each state is."""

    def mark(column: F) -> F:
        @wraps(column)
        def shown(*args: Any) -> str:
            found = column(*args)
            return badge(labels.get(found[0], "info"), found[1]) if found else "–"

        return cast(F, admin.display(description=cast(str, description), ordering=ordering)(shown))

    return mark


def badge(kind: str, word: object) -> SafeString:
    """A state told by colour, shape and word; `kind` is success, warning, danger or info."""
    shape, colours = _BADGES[kind]
    return format_html(
        '<span class="inline-block font-semibold h-6 leading-6 px-2 rounded-default text-[11px] uppercase'
        ' whitespace-nowrap {}"><span aria-hidden="true">{}</span> {}</span>',
        colours,
        shape,
        word,
    )


def list_url(model: type[models.Model]) -> str:
    """Address of a model's list."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def change_url(model_label: str, pk: object) -> str:
    """Address of an object's page, "" where its model has none. `model_label` is like `devices.device`."""
    try:
        return reverse(f"admin:{model_label.lower().replace('.', '_')}_change", args=[pk])
    except NoReverseMatch:
        return ""


def object_link(thing: models.Model | None, text: object = None) -> str:
    """A link to an object's page; a dash for none."""
    if thing is None:
        return "–"
    return named_link(thing._meta.label_lower, thing.pk, thing if text is None else text)


def named_link(model_label: str, pk: object, text: object) -> str:
    """The same from a model's label and a key, for objects that were not loaded."""
    url = change_url(model_label, pk)
    return outside_link(url, text) if url else str(text)


def outside_link(url: str, text: object) -> SafeString:
    """A link in the theme's colour."""
    return format_html('<a href="{}" class="text-primary-600 dark:text-primary-500 font-medium">{}</a>', url, text)


def readable_json(value: Any) -> str:
    """JSON with line breaks; a dash for nothing."""
    if not value:
        return "–"
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str)
    return format_html('<pre class="overflow-auto text-sm">{}</pre>', text)
