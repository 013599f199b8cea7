"""Buttons: what staff can do to an object. Each calls one service in the name of whoever pressed it.

A press is a POST. A button with a form or a question shows that page first; GET never changes anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from django import forms
from django.db import models
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _

from core.errors import Text

Variant = Literal["primary", "default", "danger"]


@dataclass(frozen=True, slots=True)
class Press:
    """One press: on what, by whom, with which input. `key` is the same when the same page is sent twice."""

    thing: Any
    actor: Any
    key: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ShownOnce:
    """The answer to a press that makes a secret: a page that is never cached and can't be called up again."""

    template: str
    context: dict[str, Any]


_DONE = _("Done.")


def _always(thing: object) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Button:
    """`run` calls the service; what it answers is shown once, or sent as a file.

    `when` says whether the button makes sense for an object; `bulk` offers it on lists.
    """

    name: str
    label: Text
    permission: str
    run: Callable[[Press], ShownOnce | HttpResponseBase | None]
    icon: str = "bolt"
    variant: Variant = "default"
    form: type[forms.Form] | None = None
    question: Text = ""
    done: Text = _DONE
    bulk: bool = False
    when: Callable[[Any], bool] = _always

    @property
    def asks(self) -> bool:
        """Whether a page comes between the press and the deed."""
        return self.form is not None or bool(self.question)


@dataclass(frozen=True, slots=True)
class Link:
    """A way from an object to another page; with a `permission`, for those who hold it on the object."""

    label: Text
    url: Callable[[Any], str]
    icon: str = "open_in_new"
    permission: str = ""


_buttons: dict[type[models.Model], list[Button]] = {}
_links: dict[type[models.Model], list[Link]] = {}


def offer(model: type[models.Model], *offered: Button | Link) -> None:
    """Add buttons and links to a page of an app below, which can't import what they need."""
    for each in offered:
        if isinstance(each, Button):
            _buttons.setdefault(model, []).append(each)
        else:
            _links.setdefault(model, []).append(each)


def offered_buttons(model: type[models.Model]) -> tuple[Button, ...]:
    """Buttons other apps added to a model's page."""
    return tuple(_buttons.get(model, ()))


def offered_links(model: type[models.Model]) -> tuple[Link, ...]:
    """Links other apps added to a model's page."""
    return tuple(_links.get(model, ()))
