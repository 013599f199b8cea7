"""The simulated Cloudflare Access team, as tests use it."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.test import Client
from pytest_django import Settings

from simulators.tests.simulator import run
from tenants import cloudflare_keys

AUDIENCE = "a" * 64
OTHER_AUDIENCE = "b" * 64


class Team:
    """A team that runs as a program of its own."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.url = str(http.base_url).rstrip("/")

    def mint(self, *, key: str = "current", headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """What its edge puts into the header; None takes a claim away."""
        body = {"key": key, "headers": headers or {}, "claims": claims}
        return str(self._post("/tokens", body).json()["token"])

    def mint_for_program(self, client_id: str, **claims: Any) -> str:
        """What a service token gets: no address, an empty subject."""
        return self.mint(**{"email": None, "identity_nonce": None, "sub": "", "common_name": client_id, **claims})

    def rotate(self) -> None:
        self._post("/rotate", {})

    def misbehave(self, kind: str, **fields: object) -> None:
        self._post("/faults", {"kind": kind, **fields})

    def behave(self) -> None:
        self.http.delete("/faults").raise_for_status()

    def fetches(self) -> int:
        """How often somebody asked for its keys."""
        return int(self.http.get("/fetches").json()["fetches"])

    def published(self) -> list[dict[str, str]]:
        """Its keys, read past the counter that `reset` sets back."""
        keys: list[dict[str, str]] = self.http.get("/cdn-cgi/access/certs").json()["keys"]
        return keys

    def _post(self, path: str, body: object) -> httpx.Response:
        return self.http.post(path, json=body).raise_for_status()


def client_with(assertion: str | None, **headers: str) -> Client:
    """A browser or program behind Cloudflare Access."""
    given = {} if assertion is None else {"Cf-Access-Jwt-Assertion": assertion}
    return Client(headers={**given, **headers})


def restart() -> None:
    """As a new process: nothing is kept in memory."""
    cloudflare_keys._held.clear()


def forge(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None) -> str:
    """A token signed with HMAC whatever its header says; without a secret, not signed at all."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = hmac.new(secret, b".".join(parts), hashlib.sha256).digest() if secret is not None else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.fixture(scope="session")
def team_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The simulator as a process of its own, on a free port."""
    with (
        run("simulators.cloudflare_access", tmp_path_factory.mktemp("team")) as (_, ready),
        httpx.Client(base_url=ready["http"], timeout=5) as client,
    ):
        yield client


@pytest.fixture
def team(team_process: httpx.Client, settings: Settings) -> Iterator[Team]:
    """The team the product trusts; nothing misbehaves and nobody has asked for keys yet."""
    team_process.post("/reset").raise_for_status()
    settings.CF_ACCESS_TEAM_URL = str(team_process.base_url).rstrip("/")
    settings.CF_ACCESS_AUDIENCES = [AUDIENCE, OTHER_AUDIENCE]
    restart()
    yield Team(team_process)
    restart()
