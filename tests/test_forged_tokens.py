"""A token that is not ours opens nothing over REST, whoever's it says it is, and breaks nothing."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.test import Client

from core import tokens
from devices.models import Device
from devices.tests.factories import make_device, make_device_token
from tenants.services.sessions import issue_access_token
from tenants.tests.api import problem
from tenants.tests.factories import People, make_people

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning"),
]
KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def people() -> People:
    return make_people()


@pytest.fixture
def device(people: People) -> Device:
    return make_device(branch=people.branch)


def reach(token: str, path: str) -> Any:
    return Client(headers={"Authorization": f"Bearer {token}"}).get(path)


def by_hand(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """Signed with HMAC whatever the header says."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.new(secret, b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def kid() -> str:
    return next(iter(settings.JWT_KEYS))


def secret() -> str:
    return str(settings.JWT_KEYS[kid()])


def resigned(claims: dict[str, Any], **changes: Any) -> str:
    """Ours but for the changes; None takes a claim away."""
    left = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(left, secret(), algorithm="HS256", headers={"kid": kid()})


def seconds_from_now(seconds: float) -> int:
    return int((datetime.now(UTC) + timedelta(seconds=seconds)).timestamp())


def tampered(claims: dict[str, Any]) -> str:
    head, _, signature = resigned(claims).split(".")
    body = base64.urlsafe_b64encode(json.dumps({**claims, "extra": 1}).encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{signature}"


FORGERIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "alg-none": lambda claims: jwt.encode(claims, None, algorithm="none", headers={"kid": kid()}),
    "alg-None": lambda claims: by_hand({"alg": "None", "kid": kid()}, claims, b""),
    "hs512": lambda claims: jwt.encode(claims, secret(), algorithm="HS512", headers={"kid": kid()}),
    "rs256": lambda claims: jwt.encode(claims, KEY, algorithm="RS256", headers={"kid": kid()}),
    "rs256-said-hs256-done": lambda claims: by_hand({"alg": "RS256", "kid": kid()}, claims, secret().encode()),
    "hs256-with-a-public-key": lambda claims: by_hand({"alg": "HS256", "kid": kid()}, claims, PEM),
    "hs256-with-nothing": lambda claims: by_hand({"alg": "HS256", "kid": kid()}, claims, b""),
    "key-in-the-header": lambda claims: by_hand(
        {"alg": "HS256", "kid": kid(), "jwk": {"kty": "oct", "k": "eA"}, "jku": "http://127.0.0.1:9/"}, claims, b"x"
    ),
    "wrong-audience": lambda claims: resigned(claims, aud="cartwise:other"),
    "every-audience": lambda claims: resigned(claims, aud=["*"]),
    "wrong-issuer": lambda claims: resigned(claims, iss="somebody"),
    "expired": lambda claims: resigned(claims, exp=seconds_from_now(-1)),
    "issued-in-future": lambda claims: resigned(claims, iat=seconds_from_now(600)),
    "not-yet": lambda claims: resigned(claims, nbf=seconds_from_now(600)),
    "unknown-kid": lambda claims: jwt.encode(claims, secret(), algorithm="HS256", headers={"kid": "unknown"}),
    "removed-kid": lambda claims: jwt.encode(claims, "r" * 48, algorithm="HS256", headers={"kid": "removed"}),
    "kid-of-an-injection": lambda claims: jwt.encode(
        claims, secret(), algorithm="HS256", headers={"kid": "' OR 1=1 --"}
    ),
    "no-kid": lambda claims: jwt.encode(claims, secret(), algorithm="HS256"),
    **{
        f"without-{claim}": lambda claims, claim=claim: resigned(claims, **{claim: None})
        for claim in ("exp", "iat", "sub", "aud", "iss", "jti")
    },
    "subject-of-nobody": lambda claims: resigned(claims, sub="nobody"),
    "tampered": tampered,
    "cut-short": lambda claims: resigned(claims)[:-3],
    "twice": lambda claims: f"{resigned(claims)} {resigned(claims)}",
    "huge": lambda claims: "a" * 60_000,
    "ours-but-huge": lambda claims: resigned(claims, blob="x" * 5000),
    "not-ascii": lambda claims: "ÿþ.ÿþ.ÿþ",
    "nul": lambda claims: "a.b\x00.c",
    "dots": lambda claims: "..",
}


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_tokens_the_forgeries_are_made_from_are_right_control(people: People, device: Device) -> None:
    person, machine = issue_access_token(people.erin, second_factor=True), make_device_token(device=device)

    assert reach(resigned(claims_of(person)), "/api/branches").status_code == 200
    assert reach(resigned(claims_of(machine)), f"/api/devices/{device.pk}/config").status_code == 200


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_token_is_refused(people: People, device: Device, forgery: str) -> None:
    make = FORGERIES[forgery]
    person, machine = issue_access_token(people.erin, second_factor=True), make_device_token(device=device)

    problem(reach(make(claims_of(person)), "/api/branches"), 401)
    problem(reach(make(claims_of(machine)), f"/api/devices/{device.pk}/config"), 401)


def test_token_of_one_kind_is_none_of_the_other(people: People, device: Device) -> None:
    person, machine = issue_access_token(people.erin, second_factor=True), make_device_token(device=device)

    problem(reach(machine, "/api/branches"), 401)
    problem(reach(machine, "/api/auth/me"), 401)
    problem(reach(person, f"/api/devices/{device.pk}/config"), 401)
    problem(reach(resigned(claims_of(machine), sub=str(people.erin.pk), ver=1, sf=1), "/api/branches"), 401)


@pytest.mark.parametrize(
    ("forgery", "careless"),
    [
        ("wrong-audience", {"verify_aud": False}),
        ("wrong-issuer", {"verify_iss": False}),
        ("expired", {"verify_exp": False}),
        ("issued-in-future", {"verify_iat": False}),
        ("not-yet", {"verify_nbf": False}),
        ("tampered", {"verify_signature": False}),
        ("without-jti", {"require": []}),
    ],
)
def test_forged_token_is_refused_control(
    people: People, monkeypatch: pytest.MonkeyPatch, forgery: str, careless: dict[str, Any]
) -> None:
    """Each check left out lets its forgery in."""
    decode = jwt.decode

    def unchecked(*arguments: Any, options: dict[str, Any], **named: Any) -> Any:
        return decode(*arguments, options={**options, **careless}, **named)

    monkeypatch.setattr(tokens.jwt, "decode", unchecked)
    person = claims_of(issue_access_token(people.erin, second_factor=True))

    assert reach(FORGERIES[forgery](person), "/api/branches").status_code == 200
