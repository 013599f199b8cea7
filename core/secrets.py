"""Encrypted fields: AES-256-GCM (NIST SP 800-38D) with named keys, so that keys rotate with overlap.

`settings.FIELD_KEYS` maps a key id to 32 bytes in base64; the first encrypts, all decrypt. What is written is
`<key id>$<base64 of nonce and ciphertext>`, bound to its place: a value copied into another column does not decrypt.
"""

import base64
import binascii
import os
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import models

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


# Rewriters of secrets that lie elsewhere than in an `EncryptedTextField`: each rewrites all of its own, counts them.
_elsewhere: dict[str, Callable[[], int]] = {}


def rewrites(name: str, rewrite: Callable[[], int]) -> None:
    """Register what `manage.py rotate_keys` has to call as well."""
    _elsewhere[name] = rewrite


def rewriters() -> dict[str, Callable[[], int]]:
    """Those registered, by name."""
    return dict(_elsewhere)
