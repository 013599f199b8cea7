"""Pieces of admin pages: links between objects, JSON to read, states as coloured words."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from core.errors import Text

F = TypeVar("F", bound=Callable[..., Any])


def state_column(*, description: Text, labels: Mapping[str, str], ordering: str | None = None) -> Callable[[F], F]:
    """A column that shows (state, word) as a coloured word; `labels` are success, warning, danger or info by state."""

    def mark(column: F) -> F:
        return cast(F, display(description=description, label=labels, ordering=ordering)(column))

    return mark


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
