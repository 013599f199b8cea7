"""Encrypted fields: AES-256-GCM (NIST SP 800-38D) with named keys, so that keys rotate with overlap.

`settings.FIELD_KEYS` maps a key id to 32 bytes in base64; the first encrypts, all decrypt. What is written is
`<key id>$<base64 of nonce and ciphertext>`, bound to its place: a value copied into another column does not decrypt.
"""

import base64
import binascii
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.apps import apps
from django.conf import settings
from django.db import connection, models, transaction

if TYPE_CHECKING:
    AnyTextField = models.TextField[Any, Any]
else:
    AnyTextField = models.TextField

KEY_BYTES = 32
_NONCE_BYTES = 12


class SecretUnreadable(Exception):
    """Written with a key that is gone, or not what was written there. Nothing is shown instead."""


def encrypt(text: str, *, place: str) -> str:
    """`text` under the newest key, readable only at the same `place` (`app.model.field`)."""
    key_id = next(iter(settings.FIELD_KEYS))
    nonce = os.urandom(_NONCE_BYTES)
    sealed = _cipher(settings.FIELD_KEYS[key_id]).encrypt(nonce, text.encode(), place.encode())
    return f"{key_id}${base64.b64encode(nonce + sealed).decode()}"


def decrypt(written: str, *, place: str) -> str:
    """The text that was written at this place. Raises `SecretUnreadable`."""
    key_id, _, payload = written.partition("$")
    try:
        sealed = base64.b64decode(payload, validate=True)
        opened = _cipher(settings.FIELD_KEYS[key_id]).decrypt(
            sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode()
        )
    except (KeyError, InvalidTag, binascii.Error, ValueError) as error:
        raise SecretUnreadable(f"{place}: key {key_id[:20]!r}") from error
    return opened.decode()


def is_current(written: str) -> bool:
    """Whether it was written with the newest key."""
    return written.partition("$")[0] == next(iter(settings.FIELD_KEYS))


@lru_cache(maxsize=16)
def _cipher(key: str) -> AESGCM:
    return AESGCM(base64.b64decode(key, validate=True))


class EncryptedTextField(AnyTextField):
    """Text that only processes with the keys can read. Can't be searched, sorted or filtered by value."""

    @property
    def place(self) -> str:
        return f"{self.model._meta.label_lower}.{self.name}"

    def get_prep_value(self, value: Any) -> Any:
        return value if value is None or value == "" else encrypt(str(value), place=self.place)

    def from_db_value(self, value: str | None, expression: object, connection: object) -> str | None:
        return value if value is None or value == "" else decrypt(value, place=self.place)

    def get_lookup(self, lookup_name: str) -> Any:
        """Each encryption differs: nothing but emptiness can be asked for."""
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of encrypted values, and the place they are bound to. Names are quoted."""

    table: str
    key: str
    name: str
    place: str


@dataclass(frozen=True, slots=True)
class Rewritten:
    """How many values are, or would be, under the newest key by now; `unreadable` ones stay as they are."""

    rewritten: int
    unreadable: int = 0


class Rewriter(Protocol):
    """Encrypts anew, under row locks, whatever of its own is not under the newest key.

    Not to `write` only counts what it would.
    """

    def __call__(self, *, write: bool) -> Rewritten: ...


# Encrypted elsewhere than in an `EncryptedTextField`: whole columns, and what only its owner can take apart.
_columns: list[Column] = []
_elsewhere: dict[str, Rewriter] = {}
_BATCH = 200
_LOCK = "FOR UPDATE"


def encrypts(model: type[models.Model], field: str, *, place: str) -> None:
    """Register a column that is written with `encrypt` at `place`, for `manage.py rotate_keys`."""
    _columns.append(_column(model, field, place))


def rewrites(name: str, rewrite: Rewriter) -> None:
    """Register what `manage.py rotate_keys` calls besides."""
    _elsewhere[name] = rewrite


def rewriters() -> dict[str, Rewriter]:
    """Those registered, by name."""
    return dict(_elsewhere)


def encrypted_columns() -> list[Column]:
    """Every column of every installed model that holds encrypted values."""
    fields = [
        _column(model, field.name, field.place)
        for model in apps.get_models()
        for field in model._meta.local_concrete_fields
        if isinstance(field, EncryptedTextField)
    ]
    return [*fields, *_columns]


def _column(model: type[models.Model], field: str, place: str) -> Column:
    meta = model._meta
    quote = connection.ops.quote_name
    assert meta.pk is not None
    column = meta.get_field(field)
    assert isinstance(column, models.Field)
    return Column(quote(meta.db_table), quote(str(meta.pk.column)), quote(str(column.column)), place)


def rewrite_column(column: Column, *, write: bool = True) -> Rewritten:
    """Encrypt anew, under the newest key, whatever is not; in batches that commit, so that it can be run again.

    Locks the rows of a batch: a value that somebody writes meanwhile is neither lost nor overwritten. Not to `write`
    only counts, without locks.
    """
    rewritten, unreadable, after = 0, 0, None
    while batch := _rewrite_batch(column, after, write=write):
        done, after = batch
        rewritten, unreadable = rewritten + done.rewritten, unreadable + done.unreadable
    return Rewritten(rewritten, unreadable)


def _rewrite_batch(column: Column, after: Any, *, write: bool) -> tuple[Rewritten, Any] | None:
    """What became of a batch, and its last key; None when there is nothing left after `after`."""
    key, name, newest = column.key, column.name, next(iter(settings.FIELD_KEYS))
    beyond, parameters = ("", [newest]) if after is None else (f" AND {key} > %s", [newest, after])
    lock = _LOCK if write else ""
    unreadable = 0
    with transaction.atomic(), connection.cursor() as cursor:
        selected = f"SELECT {key}, {name} FROM {_of(column)}{beyond} ORDER BY {key} LIMIT {_BATCH} {lock}"  # noqa: S608
        cursor.execute(selected, parameters)
        rows = cursor.fetchall()
        for pk, written in rows:
            try:
                text = decrypt(written, place=column.place)
            except SecretUnreadable:
                unreadable += 1
                continue
            if write:
                new = encrypt(text, place=column.place)
                cursor.execute(f"UPDATE {column.table} SET {name} = %s WHERE {key} = %s", [new, pk])  # noqa: S608
    return (Rewritten(len(rows) - unreadable, unreadable), rows[-1][0]) if rows else None


def _of(column: Column) -> str:
    """The table and the condition for what is not under the newest key, whose id is the one parameter."""
    return f"{column.table} WHERE {column.name} <> '' AND split_part({column.name}, '$', 1) <> %s"
