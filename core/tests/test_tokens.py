import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from pytest_django import Settings

from core.tokens import MOST_CHARACTERS, TokenError, read, sign

KEYS = {"new": "n" * 48, "old": "o" * 48}
PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----\n"


@pytest.fixture(autouse=True)
def _keys(settings: Settings) -> None:
    settings.JWT_KEYS = KEYS


def make_token(**changes: Any) -> str:
    now = datetime.now(UTC)
    arguments = {"kind": "person", "subject": "alice", "issued_at": now, "expires_at": now + timedelta(hours=1)}
    return sign(**{**arguments, **changes})


def forge(
    *, secret: str = KEYS["new"], algorithm: str = "HS256", kid: object = "new", drop: str = "", **changes: Any
) -> str:
    """A token as an attacker or a neighbouring system would write it."""
    claims = {**jwt.decode(make_token(), options={"verify_signature": False}), **changes}
    claims.pop(drop, None)
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims, secret, algorithm=algorithm, headers=headers)


def encode_by_hand(header: dict[str, Any], secret: bytes) -> str:
    """Signed with HMAC whatever the header says and whatever the secret is."""
    claims = jwt.decode(make_token(), options={"verify_signature": False})
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.new(secret, b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def nested() -> str:
    """JSON too deep for a parser that recurses, short enough to be looked at."""
    return base64.urlsafe_b64encode(b"[" * 1450).rstrip(b"=").decode()


def test_own_token_is_read() -> None:
    claims = read(make_token(ver=3), kind="person")

    assert (claims["sub"], claims["ver"], claims["iss"]) == ("alice", 3, "cartwise")


def test_forgery_like_ours_is_read_control() -> None:
    """What the forgeries below start from is accepted, so each is refused for its own fault."""
    header = {"alg": "HS256", "typ": "JWT", "kid": "new"}
    assert read(forge(), kind="person")["sub"] == "alice"
    assert read(encode_by_hand(header, KEYS["new"].encode()), kind="person")["sub"] == "alice"


def test_same_row_gives_the_same_token() -> None:
    now = datetime.now(UTC)
    fixed = {"issued_at": now, "expires_at": now + timedelta(days=1), "token_id": "t-1", "key_id": "old"}

    assert make_token(**fixed) == make_token(**fixed)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: forge(secret="", algorithm="none"), id="alg-none"),
        pytest.param(lambda: forge(algorithm="HS512"), id="other-hmac"),
        pytest.param(lambda: encode_by_hand({"alg": "RS256", "kid": "new"}, KEYS["new"].encode()), id="says-rs256"),
        pytest.param(lambda: encode_by_hand({"alg": "HS256", "kid": "new"}, PUBLIC_KEY.encode()), id="key-confusion"),
        pytest.param(lambda: forge(secret=KEYS["old"]), id="key-of-another-id"),
        pytest.param(lambda: forge(secret="x" * 48), id="foreign-key"),
        pytest.param(lambda: forge(kid="unknown"), id="unknown-kid"),
        pytest.param(lambda: forge(kid=None), id="no-kid"),
        pytest.param(lambda: forge(kid="../../dev/null"), id="kid-is-a-path"),
        pytest.param(
            lambda: encode_by_hand({"alg": "HS256", "kid": ["new"]}, KEYS["new"].encode()), id="kid-is-a-list"
        ),
        pytest.param(lambda: forge(aud="cartwise:device"), id="wrong-audience"),
        pytest.param(lambda: forge(iss="somebody"), id="wrong-issuer"),
        pytest.param(lambda: make_token(kind="device"), id="other-kind-of-token"),
        pytest.param(lambda: make_token(expires_at=datetime.now(UTC) - timedelta(seconds=1)), id="expired"),
        pytest.param(lambda: make_token(issued_at=datetime.now(UTC) + timedelta(minutes=10)), id="issued-in-future"),
        pytest.param(lambda: forge(exp="tomorrow"), id="expiry-is-a-word"),
        pytest.param(lambda: forge(exp=None), id="expiry-is-nothing"),
        pytest.param(lambda: forge(sub=7), id="subject-is-a-number"),
        pytest.param(lambda: forge(aud={"cartwise:person": 1}), id="audience-is-an-object"),
        pytest.param(lambda: make_token(blob="x" * MOST_CHARACTERS), id="ours-but-huge"),
        pytest.param(lambda: f"{nested()}.{nested()}.x", id="nested-deep"),
        pytest.param(lambda: f"{nested()[:200]}.a.b", id="nested-and-cut"),
        pytest.param(lambda: forge(nbf=int(datetime.now(UTC).timestamp()) + 600), id="not-yet-valid"),
        *(
            pytest.param(lambda claim=claim: forge(drop=claim), id=f"without-{claim}")
            for claim in ("exp", "iat", "sub", "aud", "iss", "jti")
        ),
        pytest.param(lambda: make_token()[:-4], id="cut-short"),
        pytest.param(lambda: make_token() + "x", id="one-sign-more"),
        *(pytest.param(lambda value=value: value, id=repr(value)) for value in ("", ".", "..", "a.b.c", "ÿ.ÿ.ÿ", "\0")),
    ],
)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_token_that_is_not_ours_is_refused(make: Any) -> None:
    with pytest.raises(TokenError):
        read(make(), kind="person")


def test_changed_claim_breaks_the_signature() -> None:
    head, body, signature = make_token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed = base64.urlsafe_b64encode(json.dumps({**claims, "sub": "erin"}).encode()).rstrip(b"=").decode()

    with pytest.raises(TokenError):
        read(f"{head}.{changed}.{signature}", kind="person")


def test_keys_rotate_with_overlap(settings: Settings) -> None:
    settings.JWT_KEYS = {"old": KEYS["old"]}
    before = make_token()

    settings.JWT_KEYS = KEYS
    after = make_token()
    both = [read(token, kind="person")["sub"] for token in (before, after)]
    settings.JWT_KEYS = {"new": KEYS["new"]}

    assert both == ["alice", "alice"]
    assert jwt.get_unverified_header(after)["kid"] == "new"
    assert read(after, kind="person")["sub"] == "alice"
    with pytest.raises(TokenError):
        read(before, kind="person")


def test_dropped_key_signs_nothing() -> None:
    with pytest.raises(KeyError):
        make_token(key_id="dropped")
