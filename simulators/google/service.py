"""Authorization, token and certificate endpoints (OpenID Connect Core 1.0 §3.1, PKCE: RFC 7636) behind one address."""

import base64
import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass, replace
from html import escape
from urllib.parse import urlencode

from simulators.faults import Faults
from simulators.google.faults import Fault, Kind
from simulators.google.keys import SigningKey
from simulators.web import HttpError, Request, Response, html_response, json_response, see_other, style_sheet

CODE_LIFETIME_S = 60
TOKEN_LIFETIME_S = 3600
HANG_S = 60
_CLOCK_S = {Kind.EXPIRED: -2 * TOKEN_LIFETIME_S, Kind.AHEAD: 20}
_SUGGESTED = ("dora@gmail.example", "alice@shop.example")
_IN_TOKEN = (
    Kind.UNVERIFIED,
    Kind.VERIFIED_WORD,
    Kind.WRONG_AUDIENCE,
    Kind.WRONG_ISSUER,
    Kind.WRONG_KEY,
    Kind.UNSIGNED,
    Kind.HMAC,
    Kind.EXPIRED,
    Kind.AHEAD,
    Kind.NO_IDENTITY,
)


@dataclass(frozen=True)
class Grant:
    """What a code stands for."""

    redirect_uri: str
    challenge: str
    nonce: str
    email: str
    name: str
    expires_at: float


class Service:
    """Handler of `simulators.web`. `redirect_uris` empty: any."""

    def __init__(self, client_id: str, client_secret: str, redirect_uris: tuple[str, ...] = ()) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.redirect_uris = redirect_uris
        self.issuer = ""  # its own address, known once it listens
        self.faults = Faults[Fault]()
        self._key, self._strange_key = SigningKey(), SigningKey()
        self._grants: dict[str, Grant] = {}
        self._guard = threading.Lock()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let go of every request a fault holds."""
        self._stopping.set()

    def __call__(self, request: Request) -> Response | None:
        match request.method, request.path:
            case "GET", "/authorize":
                return self._ask(request)
            case "POST", "/authorize":
                return self._grant(request)
            case "POST", "/token":
                return self._tokens(request)
            case "GET", "/certs":
                return json_response({self._key.id: self._key.certificate})
            case "GET", "/page.css":
                return style_sheet()
            case "GET", "/healthz":
                return json_response({"status": "ok"})
            case "POST", "/faults":
                kind = request.fields().get("kind")
                if not isinstance(kind, str) or kind not in set(Kind):
                    raise HttpError(400, f"kind is one of {sorted(Kind)}")
                self.faults.arm(Fault(Kind(kind)))
            case "DELETE", "/faults":
                self.faults.clear()
            case _:
                raise HttpError(404, f"no {request.method} {request.path} here")
        return json_response({"status": "ok"})

    def _ask(self, request: Request) -> Response:
        """The page that lets somebody choose who they are."""
        self._check_asker(request.query)
        page = html_response(_render_page(dict(request.query)))
        # Its form leads back to whoever asked.
        policy = "default-src 'none'; style-src 'self'; form-action *"
        return replace(page, headers={"Content-Security-Policy": policy})

    def _grant(self, request: Request) -> Response:
        fields = request.form()
        self._check_asker(fields)
        email, state = fields.get("email", "").strip(), fields.get("state", "")
        if self._strikes(Kind.DENIED) or not email:
            return _back(fields["redirect_uri"], error="access_denied", state=state)
        if self._strikes(Kind.WRONG_STATE):
            state = secrets.token_urlsafe(12)
        code = secrets.token_urlsafe(24)
        with self._guard:
            self._grants[code] = Grant(
                redirect_uri=fields["redirect_uri"],
                challenge=fields["code_challenge"],
                nonce=fields.get("nonce", ""),
                email=email,
                name=fields.get("name", "").strip(),
                expires_at=time.monotonic() + CODE_LIFETIME_S,
            )
        return _back(fields["redirect_uri"], code=code, state=state)

    def _check_asker(self, fields: dict[str, str] | object) -> None:
        """Raises HttpError 400, as Google refuses without going back to an address it does not know."""
        assert isinstance(fields, dict)
        if fields.get("client_id") != self.client_id:
            raise HttpError(400, "invalid_client")
        redirect_uri = fields.get("redirect_uri", "")
        if not redirect_uri or (self.redirect_uris and redirect_uri not in self.redirect_uris):
            raise HttpError(400, "redirect_uri_mismatch")
        if fields.get("response_type") != "code" or "openid" not in fields.get("scope", "").split():
            raise HttpError(400, "invalid_request")
        if fields.get("code_challenge_method") != "S256" or not fields.get("code_challenge"):
            raise HttpError(400, "PKCE with S256 is required here")

    def _strikes(self, *kinds: Kind) -> Kind | None:
        """The first armed fault of these kinds, used up."""
        fault = self.faults.take(lambda fault: fault.kind in kinds)
        return fault.kind if fault else None

    def _tokens(self, request: Request) -> Response | None:
        if self._strikes(Kind.HTTP_500):
            return html_response("<!doctype html><html><body><h1>500. That's an error.</h1></body></html>", 500)
        if self._strikes(Kind.SLOW):
            self._stopping.wait(HANG_S)
            return None
        fields = request.form()
        known = fields.get("client_id") == self.client_id and hmac.compare_digest(
            fields.get("client_secret", ""), self.client_secret
        )
        if not known:
            return json_response({"error": "invalid_client"}, 401)
        with self._guard:
            grant = self._grants.pop(fields.get("code", ""), None)  # used once
        digest = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            grant is None
            or grant.expires_at < time.monotonic()
            or grant.redirect_uri != fields.get("redirect_uri")
            or not hmac.compare_digest(grant.challenge, challenge)
        ):
            return json_response({"error": "invalid_grant"}, 400)
        answer: dict[str, object] = {
            "access_token": secrets.token_urlsafe(24),
            "expires_in": TOKEN_LIFETIME_S,
            "scope": "openid email profile",
            "token_type": "Bearer",
        }
        fault = self._strikes(*_IN_TOKEN)
        if fault != Kind.NO_IDENTITY:
            answer["id_token"] = self._id_token(grant, fault)
        return json_response(answer)

    def _id_token(self, grant: Grant, fault: Kind | None) -> str:
        now = int(time.time()) + (_CLOCK_S.get(fault, 0) if fault else 0)
        given, _, family = grant.name.partition(" ")
        claims: dict[str, object] = {
            "iss": "https://elsewhere.example" if fault == Kind.WRONG_ISSUER else self.issuer,
            "aud": "another-client" if fault == Kind.WRONG_AUDIENCE else self.client_id,
            "azp": self.client_id,
            # The same person has the same number each time.
            "sub": str(int(hashlib.sha256(grant.email.lower().encode()).hexdigest()[:16], 16)),
            "email": grant.email,
            "email_verified": {Kind.UNVERIFIED: False, Kind.VERIFIED_WORD: "false"}.get(fault, True) if fault else True,
            "name": grant.name,
            "given_name": given,
            "family_name": family,
            "iat": now,
            "exp": now + TOKEN_LIFETIME_S,
        }
        if grant.nonce:
            claims["nonce"] = grant.nonce
        if fault == Kind.UNSIGNED:
            return self._key.leave_unsigned(claims)
        if fault == Kind.HMAC:
            return self._key.sign_with_certificate(claims)
        if fault == Kind.WRONG_KEY:
            return self._strange_key.sign(claims, key_id=self._key.id)
        return self._key.sign(claims)


def _back(redirect_uri: str, **answer: str) -> Response:
    return see_other(f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(answer)}")


def _render_page(asked: dict[str, str]) -> str:
    hidden = "".join(
        f'<input type="hidden" name="{escape(name, quote=True)}" value="{escape(value, quote=True)}">'
        for name, value in asked.items()
    )
    people = "".join(f'<option value="{escape(email, quote=True)}">' for email in _SUGGESTED)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Simulated Google</title><link rel="stylesheet" href="/page.css"></head><body><header><h1>Simulated Google</h1>
<p>Say who you are. An empty address means: no.</p></header><main><form method="post" action="/authorize">{hidden}
<p><label>E-mail <input name="email" type="email" list="people" autocomplete="off"></label>
<datalist id="people">{people}</datalist></p>
<p><label>Name <input name="name" autocomplete="off"></label></p><p><button>Continue</button></p>
</form></main></body></html>"""
