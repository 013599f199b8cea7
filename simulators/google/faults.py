"""What Google may be told to do wrong."""

import threading
from enum import StrEnum


class Kind(StrEnum):
    UNVERIFIED = "unverified"  # email_verified: false
    VERIFIED_WORD = "verified_word"  # email_verified: "false", a string
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_KEY = "wrong_key"  # signed by a key that is not in the certificates
    UNSIGNED = "unsigned"  # alg: none
    HMAC = "hmac"  # alg: HS256, with the certificate as the secret
    EXPIRED = "expired"
    AHEAD = "ahead"  # the id_token is of 20 s from now: their clock and ours differ
    NO_IDENTITY = "no_identity"  # tokens without an id_token
    WRONG_STATE = "wrong_state"
    DENIED = "denied"  # error=access_denied
    HTTP_500 = "http_500"  # somebody's error page instead of tokens
    SLOW = "slow"  # the tokens never come


class Faults:
    """Armed once each, by kind. Safe from any thread."""

    def __init__(self) -> None:
        self._armed: list[Kind] = []
        self._guard = threading.Lock()

    def arm(self, kind: Kind) -> None:
        with self._guard:
            self._armed.append(kind)

    def clear(self) -> None:
        with self._guard:
            self._armed.clear()

    def take(self, *kinds: Kind) -> Kind | None:
        """The first of these that is armed, used up."""
        with self._guard:
            found = next((kind for kind in self._armed if kind in kinds), None)
            if found:
                self._armed.remove(found)
            return found
