"""The team's keys, the tokens it mints, and misbehaviour on order."""

import time
from collections.abc import Iterator

import httpx
import jwt
import pytest

from simulators.tests.simulator import run


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        run("simulators.cloudflare_access", tmp_path_factory.mktemp("team")) as (_, ready),
        httpx.Client(base_url=ready["http"], timeout=5) as client,
    ):
        yield client


@pytest.fixture
def team(process: httpx.Client) -> httpx.Client:
    """Nothing misbehaves, nobody has asked for keys."""
    process.post("/reset").raise_for_status()
    return process


def published(team: httpx.Client) -> dict[str, jwt.PyJWK]:
    return {key["kid"]: jwt.PyJWK(key) for key in team.get("/cdn-cgi/access/certs").json()["keys"]}


def mint(team: httpx.Client, **fields: object) -> str:
    return str(team.post("/tokens", json=fields).raise_for_status().json()["token"])


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def test_token_of_a_person_can_be_checked_with_the_published_key(team: httpx.Client) -> None:
    token = mint(team, claims={"email": "nora@example.com"})
    url = str(team.base_url).rstrip("/")

    claims = jwt.decode(token, published(team)[kid_of(token)], ["RS256"], audience="a" * 64, issuer=url)

    assert (claims["email"], claims["type"], claims["exp"] > time.time()) == ("nora@example.com", "app", True)


def test_claims_are_replaced_and_taken_away(team: httpx.Client) -> None:
    token = mint(team, claims={"email": None, "sub": "", "common_name": "x.access"})

    claims = jwt.decode(token, options={"verify_signature": False})

    assert ("email" in claims, claims["sub"], claims["common_name"]) == (False, "", "x.access")


def test_keys_rotate_and_the_previous_one_stays_published(team: httpx.Client) -> None:
    before = mint(team)
    assert len(published(team)) == 2

    team.post("/rotate").raise_for_status()
    after, keys = mint(team), published(team)

    assert (kid_of(before) != kid_of(after), {kid_of(before), kid_of(after)} == set(keys)) == (True, True)
    team.post("/rotate").raise_for_status()
    assert kid_of(before) not in published(team)


@pytest.mark.parametrize(("which", "known"), [("current", True), ("previous", True), ("retired", False)])
def test_token_is_signed_with_the_key_asked_for(team: httpx.Client, which: str, known: bool) -> None:
    assert (kid_of(mint(team, key=which)) in published(team)) is known


def test_fetches_are_counted(team: httpx.Client) -> None:
    for _ in range(3):
        published(team)

    assert team.get("/fetches").json() == {"fetches": 3}


@pytest.mark.parametrize(
    ("kind", "status", "content"),
    [("http_500", 500, "json"), ("html", 200, "html"), ("huge", 200, "json"), ("no_keys", 200, "json")],
)
def test_keys_misbehave_until_told_otherwise(team: httpx.Client, kind: str, status: int, content: str) -> None:
    team.post("/faults", json={"kind": kind}).raise_for_status()

    answers = [team.get("/cdn-cgi/access/certs") for _ in range(2)]
    team.delete("/faults")

    assert [(each.status_code, content in each.headers["content-type"]) for each in answers] == [(status, True)] * 2
    assert len(published(team)) == 2


def test_slow_and_reset(team: httpx.Client) -> None:
    team.post("/faults", json={"kind": "slow", "seconds": 30})
    with pytest.raises(httpx.ReadTimeout):
        team.get("/cdn-cgi/access/certs", timeout=0.3)
    team.post("/faults", json={"kind": "reset"})
    with pytest.raises(httpx.RemoteProtocolError):
        team.get("/cdn-cgi/access/certs")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokens", {"key": "golden"}),
        ("/tokens", {"claims": []}),
        ("/tokens", {"headers": {"alg": "none"}}),
        ("/faults", {"kind": "flood"}),
        ("/faults", {"kind": "slow", "seconds": 10**6}),
        ("/faults", {"kind": "slow", "seconds": True}),
    ],
    ids=str,
)
def test_wrong_order_is_refused(team: httpx.Client, path: str, body: dict[str, object]) -> None:
    assert team.post(path, json=body).status_code == 400


def test_unknown_address_is_not_found(team: httpx.Client) -> None:
    assert team.get("/cdn-cgi/access/login").status_code == 404
