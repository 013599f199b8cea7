"""The team's signing keys: the one that signs, the previous one that is still published, and one that is gone."""

import base64
import threading
from dataclasses import dataclass, field
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import rsa

KEY_BITS = 2048
WHICH = ("current", "previous", "retired")


@dataclass(frozen=True)
class Key:
    private: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, KEY_BITS))
    kid: str = field(default_factory=lambda: uuid4().hex * 2)

    def published(self) -> dict[str, str]:
        """As a JWK (RFC 7517)."""
        numbers = self.private.public_key().public_numbers()
        whole = {"kid": self.kid, "kty": "RSA", "alg": "RS256", "use": "sig"}
        return {**whole, "e": _base64url(numbers.e), "n": _base64url(numbers.n)}


class KeyRing:
    """Two keys are published. Rotating makes a new one sign, keeps the last, and retires the one before. Any thread."""

    def __init__(self) -> None:
        self._keys = [Key(), Key(), Key()]  # as in WHICH
        self._guard = threading.Lock()

    def rotate(self) -> None:
        new = Key()
        with self._guard:
            self._keys = [new, *self._keys[:2]]

    def get(self, which: str) -> Key:
        with self._guard:
            return self._keys[WHICH.index(which)]

    def published(self) -> list[Key]:
        with self._guard:
            return self._keys[:2]


def _base64url(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
