"""The team's address: its keys as Cloudflare publishes them, and a control API for tests."""

import logging
import threading
import time
from enum import StrEnum
from uuid import uuid4

import jwt

from simulators.cloudflare_access.keys import WHICH, KeyRing
from simulators.faults import read_seconds
from simulators.web import HttpError, Request, Response, html_response, json_response

log = logging.getLogger("simulators.cloudflare_access")

TOKEN_SECONDS = 24 * 3600
ALGORITHMS = ("RS256", "RS384", "RS512")
HUGE_BYTES = 5 * 1024 * 1024


class Kind(StrEnum):
    """What may go wrong with the keys."""

    SLOW = "slow"
    HTTP_500 = "http_500"
    HTML = "html"  # 200 with somebody's page
    HUGE = "huge"
    NO_KEYS = "no_keys"  # the right shape with nothing in it
    RESET = "reset"


class Service:
    """Handler of `simulators.web`. `url` is the team's, which signs as issuer."""

    def __init__(self) -> None:
        self.url = ""
        self.keys = KeyRing()
        self._guard = threading.Lock()
        self._fault: tuple[Kind, float] | None = None
        self._fetches = 0
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let go of every request a fault holds."""
        self._stopping.set()

    def __call__(self, request: Request) -> Response | None:
        match request.method, request.path:
            case "GET", "/cdn-cgi/access/certs":
                return self._certs()
            case "POST", "/tokens":
                return json_response({"token": self._mint(request.fields())})
            case "POST", "/rotate":
                self.keys.rotate()
            case "GET", "/fetches":
                with self._guard:
                    return json_response({"fetches": self._fetches})
            case "POST", "/faults":
                self._arm(request.fields())
            case "DELETE", "/faults":
                with self._guard:
                    self._fault = None
            case "POST", "/reset":
                with self._guard:
                    self._fault, self._fetches = None, 0
            case "GET", "/healthz":
                pass
            case _:
                raise HttpError(404, f"no {request.method} {request.path} here")
        return json_response({"status": "ok"})

    def _certs(self) -> Response | None:
        with self._guard:
            self._fetches += 1
            fault = self._fault
        keys = [key.published() for key in self.keys.published()]
        if fault is None:
            return json_response({"keys": keys})
        kind, seconds = fault
        log.info("certs misbehave: %s", kind.value)
        match kind:
            case Kind.SLOW:
                self._stopping.wait(seconds)
                return json_response({"keys": keys})
            case Kind.HTTP_500:
                return json_response({"error": "Internal Server Error"}, 500)
            case Kind.HTML:
                return html_response("<!doctype html><html><body><h1>Sign in</h1></body></html>")
            case Kind.HUGE:
                return json_response({"keys": keys, "public_certs": ["x" * HUGE_BYTES]})
            case Kind.NO_KEYS:
                return json_response({"keys": []})
        return None

    def _mint(self, fields: dict[str, object]) -> str:
        """`claims` replace those of a person's token, null takes one away; `headers` likewise. Raises HttpError 400."""
        which, claims, headers = fields.get("key", "current"), fields.get("claims", {}), fields.get("headers", {})
        if which not in WHICH:
            raise HttpError(400, f"key is one of {WHICH}")
        if not isinstance(claims, dict) or not isinstance(headers, dict):
            raise HttpError(400, "claims and headers are objects")
        if headers.get("alg", "RS256") not in ALGORITHMS:
            raise HttpError(400, f"alg is one of {ALGORITHMS}")
        now = int(time.time())
        usual = {
            "aud": ["a" * 64],
            "email": "somebody@example.com",
            "exp": now + TOKEN_SECONDS,
            "iat": now,
            "nbf": now,
            "iss": self.url,
            "type": "app",
            "identity_nonce": uuid4().hex[:16],
            "sub": str(uuid4()),
            "country": "IL",
        }
        said = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        key = self.keys.get(str(which))
        algorithm = str(headers.get("alg", "RS256"))
        return jwt.encode(said, key.private, algorithm=algorithm, headers={"kid": key.kid, **headers})

    def _arm(self, fields: dict[str, object]) -> None:
        kind = fields.get("kind")
        if not isinstance(kind, str) or kind not in set(Kind):
            raise HttpError(400, f"kind is one of {sorted(Kind)}")
        with self._guard:
            self._fault = (Kind(kind), read_seconds(fields, 30))
