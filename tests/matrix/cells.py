"""Requests, and the same requests with one thing of somebody else's, or of nobody's, in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.forms.models import _get_foreign_key
from django.urls import reverse

from carts.models import Cart, Rental
from devices.models import Controller, Device, KnownMac
from tenants.models import (
    Branch,
    BrowserSession,
    Chain,
    Grant,
    Invitation,
    PersonalToken,
    RefreshToken,
    Registration,
    SupportAccess,
    User,
)
from tests.matrix.estate import Side

# What a name in an address, a query or a body stands for. The matrix fails for a name in an address, and for one of an
# id, an e-mail address or a phone number in the OpenAPI document or in a form, that is missing here and in FREE.
KINDS: dict[str, tuple[type[models.Model], str]] = {
    "branch_id": (Branch, "pk"),
    "branch": (Branch, "pk"),
    "branch_code": (Branch, "code"),
    "cart": (Cart, "pk"),
    "cart_id": (Cart, "pk"),
    "cart_number": (Cart, "cart_number"),
    "public_code": (Cart, "public_code"),
    "chain": (Chain, "pk"),
    "chain_id": (Chain, "pk"),
    "branch__chain": (Chain, "pk"),
    "slug": (Chain, "slug"),
    "code": (Branch, "code"),
    "controller_id": (Controller, "pk"),
    "device_id": (Device, "pk"),
    "email": (User, "email"),
    "key": (BrowserSession, "pk"),
    "family": (RefreshToken, "family"),
    "opened_id": (SupportAccess, "pk"),
    "place": (Branch, "pk"),
    "thing": (Cart, "pk"),
    "who": (User, "pk"),
    "login": (User, "email"),
    "grant_id": (Grant, "pk"),
    "invitation_id": (Invitation, "pk"),
    "mac_address": (KnownMac, "mac_address"),
    "person_id": (User, "pk"),
    "person": (User, "pk"),
    "phone": (User, "phone"),
    "pk": (Authenticator, "pk"),
    "registration": (Registration, "pk"),
    "rental_id": (Rental, "pk"),
    "token_id": (PersonalToken, "pk"),
    "user_id": (User, "pk"),
    "user": (User, "pk"),
}
# What people type, not what they choose: a new one's place is taken by somebody's to see whether that is told.
TYPED = {"email", "phone"}
TEXT = "«text»"  # in a query: whatever stands in everything of a side
NOBODY = "zqnobody"
NOBODYS_ID = UUID("5eed5eed-0000-4000-8000-5eed5eed5eed")
# Names that stand for nobody's row: what a device calls its own start and connection, too, and what a code by SMS was
# asked for with, which without that code and its phone says nothing.
FREE: dict[str, Any] = {
    "token": "x" * 43,
    "app_label": "tenants",
    "url": "nothing-here",
    "button": "none",
    "boot_id": NOBODYS_ID,
    "connection_id": NOBODYS_ID,
    "challenge": NOBODYS_ID,
}
NOBODYS_PHONE = "+972531499999"
NOBODYS_NUMBER = 2_000_000_123
_INLINE = re.compile(r"(?P<prefix>\w+)-\d+-id")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

Slot = tuple[str, Any]
Sent = dict[str, str]
Swapped = tuple["Ask", "Ask", Sent, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `rows` says which model the ids in an address of the admin are of.

    `path`: the address where it has no name, with its `params` in braces.
    """

    name: str
    method: str
    params: dict[str, Any] = field(default_factory=dict)
    query: tuple[tuple[str, Any], ...] = ()
    body: Any = None
    json: bool = False
    rows: type[models.Model] | None = None
    path: str = ""

    @property
    def address(self) -> str:
        path = self.path.format(**self.params) if self.path else reverse(self.name, kwargs=self.params)
        return f"{path}?{urlencode(self.query)}" if self.query else path

    def __str__(self) -> str:
        return f"{self.method} {self.name} {self.address[:160]}"

    def slots(self) -> Iterator[Slot]:
        """Wherever a value could be another's."""
        yield from (("params", name) for name in self.params)
        yield from (("query", index) for index in range(len(self.query)))
        if self.json:
            yield from (("body", way) for way in _ways(self.body))
        elif self.body:
            yield from (("body", index) for index in range(len(self.body)))


def own(name: str, side: Side, rows: type[models.Model] | None = None) -> Any:
    """What a name stands for on this side; None where it stands for no row."""
    if name == "object_id" and rows is not None:
        return side.row(rows).pk if rows in side.rows else None
    if name == "content_type_id" and rows is not None:
        return ContentType.objects.get_for_model(rows).pk
    if name in KINDS:
        model, attribute = KINDS[name]
        return getattr(side.row(model), attribute)
    return None


@cache
def inlines(model: type[models.Model]) -> dict[str, type[models.Model]]:
    """Models that are edited on the page of another one in the admin, by what the names of their fields begin with."""
    found = {}
    for inline in admin.site._registry[model].inlines:
        key = _get_foreign_key(model, inline.model, fk_name=inline.fk_name)
        found[key.remote_field.get_accessor_name(model=inline.model)] = inline.model
    return found


class Swap:
    """Puts another side's thing, or nobody's, where a thing of the asker's own side stands."""

    def __init__(self, mine: Side, other: Side) -> None:
        self.mine, self.other = mine, other
        self._twins: dict[str, str] = {}
        for model, rows in mine.rows.items():
            theirs = other.rows.get(model)
            if not theirs or model._meta.pk is None or not isinstance(rows[0].pk, UUID):
                continue
            for index, row in enumerate(rows):
                twin = theirs[min(index, len(theirs) - 1)]
                if twin.pk != row.pk:
                    self._twins[str(row.pk)] = str(twin.pk)

    def __call__(self, ask: Ask) -> Iterator[Swapped]:
        """(with other's, nobody's, what was put in, for which names): slot by slot, the whole address, all at once."""
        swapped = []
        for slot in ask.slots():
            if found := self._values(ask, slot):
                swapped.append((slot, *found))
                yield _all_put(ask, swapped[-1:])
        in_address = [each for each in swapped if each[0][0] == "params"]
        if len(in_address) > 1:
            yield _all_put(ask, in_address)
        if len(in_address) < len(swapped) > 1:
            yield _all_put(ask, swapped)

    def _values(self, ask: Ask, slot: Slot) -> tuple[Any, Any] | None:
        name, value = _name_and_value(ask, slot)
        if value == TEXT:
            return self.other.canary, NOBODY
        if ask.rows and name in ("_selected_action", "object_id", "id", "thing"):
            return self._row_of_admin(ask.rows, value)
        if ask.rows and (inline := _INLINE.fullmatch(name)):
            prefix = inline["prefix"]
            return self._row_of_admin(ask.rows if prefix == "form" else inlines(ask.rows).get(prefix), value)
        kind = KINDS.get(name.removesuffix("__exact").removesuffix("__id"))
        if kind and kind[1] in TYPED and slot[0] == "body":
            theirs = getattr(self.other.row(kind[0]), kind[1])
            return theirs, nobodys(theirs)
        if kind and kind[0] in self.other.rows and slot[0] != "body":
            theirs = getattr(self.other.row(kind[0]), kind[1])
            return None if theirs == getattr(self.mine.row(kind[0]), kind[1]) else (theirs, nobodys(theirs))
        if kind and kind[1] != "pk" and str(value) == str(getattr(self.mine.row(kind[0]), kind[1])):
            theirs = getattr(self.other.row(kind[0]), kind[1])
            return theirs, nobodys(theirs)
        text = str(value)
        ids = [found for found in _UUID.findall(text) if found in self._twins]
        if not ids:
            return None
        theirs, nobody = text, text
        for found in ids:
            theirs, nobody = theirs.replace(found, self._twins[found]), nobody.replace(found, str(NOBODYS_ID))
        return theirs, nobody

    def _row_of_admin(self, model: type[models.Model] | None, value: Any) -> tuple[Any, Any] | None:
        if model is None or model not in self.other.rows or model not in self.mine.rows:
            return None
        mine = [str(row.pk) for row in self.mine.rows[model]]
        if str(value) not in mine:
            return None
        rows = self.other.rows[model]
        theirs = rows[min(mine.index(str(value)), len(rows) - 1)].pk
        return None if str(theirs) == str(value) else (theirs, nobodys(theirs))


def _sent(*values: Any) -> Sent:
    """What stands for an id in the answers: the values, and the ids in them, which an address writes in its own way."""
    texts = [str(value) for value in values]
    return dict.fromkeys([*texts, *(found for text in texts for found in _UUID.findall(text))], "‹id›")


def nobodys(value: Any) -> Any:
    """Of the same shape, and nobody's."""
    if isinstance(value, UUID):
        return NOBODYS_ID
    if isinstance(value, int):
        return NOBODYS_NUMBER
    text = str(value)
    if text.startswith("+"):
        return NOBODYS_PHONE
    if "@" in text:
        domain = "@example.com"
        return (NOBODY * 6)[: len(text) - len(domain)] + domain
    if _UUID.fullmatch(text):
        return str(NOBODYS_ID)
    if re.fullmatch(r"([0-9A-F]{2}:){5}[0-9A-F]{2}", text):
        return "EE:EE:EE:EE:EE:01"
    if re.fullmatch(r"[0-9a-f]{32,64}", text):
        return "e" * len(text)
    word = (NOBODY * 6)[: len(text)]
    return word.upper() if text.isupper() else word


def _name_and_value(ask: Ask, slot: Slot) -> tuple[str, Any]:
    part, at = slot
    if part == "params":
        return at, ask.params[at]
    if part == "query":
        return ask.query[at]
    if ask.json:
        value = ask.body
        for step in at:
            value = value[step]
        names = [step for step in at if isinstance(step, str)]
        return (names[-1] if names else ""), value
    return ask.body[at]


def _put(ask: Ask, slot: Slot, value: Any) -> Ask:
    part, at = slot
    if part == "params":
        return replace(ask, params={**ask.params, at: value})
    if part == "query":
        return replace(ask, query=_replaced(ask.query, at, value))
    if ask.json:
        return replace(ask, body=_deep(ask.body, at, value if isinstance(value, int) else str(value)))
    return replace(ask, body=_replaced(ask.body, at, value))


def _all_put(ask: Ask, swapped: list[tuple[Slot, Any, Any]]) -> Swapped:
    with_theirs, with_nobodys, sent = ask, ask, {}
    names = frozenset(_name_and_value(ask, slot)[0] for slot, _, _ in swapped)
    for slot, theirs, nobodys in swapped:
        with_theirs, with_nobodys = _put(with_theirs, slot, theirs), _put(with_nobodys, slot, nobodys)
        sent |= _sent(theirs, nobodys)
    return with_theirs, with_nobodys, sent, names


def _replaced(pairs: Any, at: int, value: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((name, value if index == at else old) for index, (name, old) in enumerate(pairs))


def _ways(body: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(body, dict):
        for name, value in body.items():
            yield from _ways(value, (*way, name))
    elif isinstance(body, list):
        for index, value in enumerate(body):
            yield from _ways(value, (*way, index))
    elif way:
        yield way


def _deep(body: Any, way: tuple[Any, ...], value: Any) -> Any:
    if not way:
        return value
    copied = dict(body) if isinstance(body, dict) else list(body)
    copied[way[0]] = _deep(copied[way[0]], way[1:], value)
    return copied
