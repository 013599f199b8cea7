"""Signed tokens (JWT, RFC 7519): algorithm, issuer and audience pinned, key ids so that keys rotate with overlap."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any
from uuid import uuid4

import jwt
from django.conf import settings

ALGORITHM = "HS256"
MOST_CHARACTERS = 4096  # ours have a tenth of that; what is longer is not worth decoding


# What was verified in this request, by text and kind; None outside of one.
_verified: ContextVar[dict[tuple[str, str], dict[str, Any]] | None] = ContextVar("verified_tokens", default=None)


class TokenError(Exception):
    """Not a token of ours of this kind, or no longer."""


def sign(
    *,
    kind: str,
    subject: object,
    issued_at: datetime,
    expires_at: datetime,
    token_id: str = "",
    key_id: str = "",
    **claims: Any,
) -> str:
    """A token of one kind (`person`, `device`), signed with the newest key unless another is named.

    The same arguments give the same token when `token_id` and `key_id` are given. Raises `KeyError` for a dropped key.
    """
    key_id = key_id or newest_key_id()
    secret = settings.JWT_KEYS[key_id]
    payload = {
        **claims,
        "iss": settings.JWT_ISSUER,
        "aud": f"{settings.JWT_ISSUER}:{kind}",
        "sub": str(subject),
        "iat": int(issued_at.timestamp()),
        "exp": int(expires_at.timestamp()),
        "jti": token_id or uuid4().hex,
    }
    return jwt.encode(payload, secret, algorithm=ALGORITHM, headers={"kid": key_id})


def newest_key_id() -> str:
    """The key that signs."""
    return next(iter(settings.JWT_KEYS))


@contextmanager
def verified_once() -> Iterator[None]:
    """Within it, what was verified is not verified again. For one request: nothing is looked at anew, nor the clock."""
    before = _verified.set({})
    try:
        yield
    finally:
        _verified.reset(before)


def read(token: str, *, kind: str) -> dict[str, Any]:
    """Claims of a valid token of that kind. Raises `TokenError` for everything else."""
    known = _verified.get()
    if known is None:
        return _verify(token, kind)
    if (token, kind) not in known:
        known[token, kind] = _verify(token, kind)
    return known[token, kind]


def read_any(token: str) -> tuple[str, dict[str, Any]]:
    """Kind and claims of a valid token, whatever its kind. Raises `TokenError` for everything else."""
    if len(token) > MOST_CHARACTERS:
        raise TokenError("too long")
    try:
        # Believed for one thing: as which kind it is verified next.
        said = jwt.decode(token, options={"verify_signature": False}).get("aud")
    except (jwt.PyJWTError, TypeError, ValueError) as error:
        raise TokenError(str(error)) from error
    kind = said.removeprefix(f"{settings.JWT_ISSUER}:") if isinstance(said, str) else ""
    return kind, read(token, kind=kind)


def _verify(token: str, kind: str) -> dict[str, Any]:
    if len(token) > MOST_CHARACTERS:
        raise TokenError("too long")
    try:
        key_id = str(jwt.get_unverified_header(token).get("kid"))
        secret = settings.JWT_KEYS[key_id]
        return jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            issuer=settings.JWT_ISSUER,
            audience=f"{settings.JWT_ISSUER}:{kind}",
            options={"require": ["exp", "iat", "sub", "aud", "iss", "jti"]},
        )
    except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
        raise TokenError(str(error)) from error
