"""Codes, tokens and certificates as OpenID Connect wants them, and misbehaviour on order."""

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.x509 import load_pem_x509_certificate

from simulators.tests.google.conftest import REDIRECT

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED = {
    "client_id": "shop",
    "redirect_uri": REDIRECT,
    "response_type": "code",
    "scope": "openid email profile",
    "state": "s1",
    "nonce": "n1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def choose(google: httpx.Client, email: str = "dora@gmail.example", **changes: str) -> dict[str, str]:
    answer = google.post("/authorize", data={**ASKED, "email": email, "name": "Dora Levi", **changes})
    assert answer.headers["Location"].startswith(f"{REDIRECT}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def trade(google: httpx.Client, code: str, **changes: str) -> httpx.Response:
    fields = {
        "grant_type": "authorization_code",
        "client_id": "shop",
        "client_secret": "secret",
        "redirect_uri": REDIRECT,
        "code": code,
        "code_verifier": VERIFIER,
    }
    return google.post("/token", data={**fields, **changes})


def claims(google: httpx.Client, token: str) -> dict[str, object]:
    """What a client reads that checks everything."""
    certificate = google.get("/certs").json()[jwt.get_unverified_header(token)["kid"]]
    key = load_pem_x509_certificate(certificate.encode()).public_key()
    issuer = str(google.base_url).rstrip("/")
    return jwt.decode(token, key, algorithms=["RS256"], audience="shop", issuer=issuer)


def test_code_is_traded_for_a_signed_identity(google: httpx.Client) -> None:
    back = choose(google)
    answer = trade(google, back["code"])

    told = claims(google, answer.json()["id_token"])

    assert back["state"] == "s1"
    assert answer.headers["content-type"].startswith("application/json")
    assert {name: told[name] for name in ("email", "email_verified", "given_name", "family_name", "nonce")} == {
        "email": "dora@gmail.example",
        "email_verified": True,
        "given_name": "Dora",
        "family_name": "Levi",
        "nonce": "n1",
    }


def test_person_has_the_same_number_each_time(google: httpx.Client) -> None:
    tokens = [
        trade(google, choose(google, email)["code"]).json()["id_token"] for email in ("a@x.example", "A@x.example")
    ]

    assert len({claims(google, token)["sub"] for token in tokens}) == 1


def test_code_is_used_once(google: httpx.Client) -> None:
    code = choose(google)["code"]

    assert [trade(google, code).status_code for _ in range(2)] == [200, 400]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"client_secret": "wrong"}, 401),
        ({"client_id": "other"}, 401),
        ({"code_verifier": "w" * 43}, 400),
        ({"code_verifier": ""}, 400),
        ({"redirect_uri": "http://evil.example/"}, 400),
        ({"code": "made-up"}, 400),
    ],
)
def test_wrong_trades_are_refused(google: httpx.Client, changes: dict[str, str], status: int) -> None:
    assert trade(google, **{"code": choose(google)["code"], **changes}).status_code == status


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "other"},
        {"redirect_uri": "http://evil.example/"},
        {"response_type": "token"},
        {"scope": "email"},
        {"code_challenge_method": "plain"},
        {"code_challenge": ""},
    ],
)
def test_wrong_askers_are_told_here_and_not_sent_back(google: httpx.Client, changes: dict[str, str]) -> None:
    answers = [
        google.get("/authorize", params={**ASKED, **changes}),
        google.post("/authorize", data={**ASKED, **changes}),
    ]

    assert [answer.status_code for answer in answers] == [400, 400]


def test_page_keeps_what_was_asked_as_text(google: httpx.Client) -> None:
    page = google.get("/authorize", params={**ASKED, "state": '"><script>'}).text

    assert 'value="&quot;&gt;&lt;script&gt;"' in page
    assert "<script" not in page


def test_no_address_means_no(google: httpx.Client) -> None:
    assert choose(google, "") == {"error": "access_denied", "state": "s1"}


@pytest.mark.parametrize("kind", ["wrong_audience", "wrong_issuer", "wrong_key", "unsigned", "hmac", "expired"])
def test_lies_do_not_pass_a_client_that_checks(google: httpx.Client, kind: str) -> None:
    google.post("/faults", json={"kind": kind}).raise_for_status()
    token = trade(google, choose(google)["code"]).json()["id_token"]

    with pytest.raises(jwt.PyJWTError):
        claims(google, token)
    assert claims(google, trade(google, choose(google)["code"]).json()["id_token"])


@pytest.mark.parametrize(("kind", "expected"), [("unverified", False), ("verified_word", "false")])
def test_unverified_addresses_are_signed_all_the_same(google: httpx.Client, kind: str, expected: object) -> None:
    google.post("/faults", json={"kind": kind}).raise_for_status()

    assert claims(google, trade(google, choose(google)["code"]).json()["id_token"])["email_verified"] == expected


def test_other_moods(google: httpx.Client) -> None:
    for kind in ("denied", "wrong_state", "no_identity", "http_500"):
        google.post("/faults", json={"kind": kind}).raise_for_status()

    denied, wrong_state = choose(google), choose(google)
    broken = trade(google, choose(google)["code"])

    assert denied["error"] == "access_denied"
    assert wrong_state["state"] != "s1"
    assert (broken.status_code, broken.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "id_token" not in trade(google, choose(google)["code"]).json()


def test_wrong_requests_are_refused(google: httpx.Client) -> None:
    assert google.post("/faults", json={"kind": "kind"}).status_code == 400
    assert google.get("/nothing").status_code == 404
    assert google.get("/healthz").json() == {"status": "ok"}
