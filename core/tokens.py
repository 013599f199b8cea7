"""Signed tokens (JWT, RFC 7519): algorithm, issuer and audience pinned, key ids so that keys rotate with overlap."""

from datetime import datetime
from typing import Any
from uuid import uuid4

import jwt
from django.conf import settings

ALGORITHM = "HS256"
MOST_CHARACTERS = 4096  # ours have a tenth of that; what is longer is not worth decoding


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


def read(token: str, *, kind: str) -> dict[str, Any]:
    """Claims of a valid token of that kind. Raises `TokenError` for everything else."""
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
