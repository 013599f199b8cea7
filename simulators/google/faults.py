"""What Google may be told to do wrong."""

from dataclasses import dataclass
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


@dataclass
class Fault:
    """Strikes once."""

    kind: Kind
    times: int | None = 1
