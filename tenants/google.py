"""Signing in with Google (OpenID Connect Core 1.0): what it says counts when it is signed, meant for us and verified.

State and PKCE (RFC 9700 §2.1.1) bind the answer to the browser and to the session that asked; allauth does both.
"""

from collections.abc import Callable
from datetime import timedelta
from threading import BoundedSemaphore
from typing import Any

import jwt
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.google.views import CERTS_URL, GoogleOAuth2Adapter
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from cryptography.x509 import load_pem_x509_certificate
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from core.errors import NotAllowed
from core.turns import turn
from core.views import error_page

LEEWAY = timedelta(seconds=30)  # what clocks may differ by
# Of the twenty threads that serve the web: while Google hangs, the others go on.
_ASKING = BoundedSemaphore(4)


class GoogleAdapter(GoogleOAuth2Adapter):
    """allauth's, but the signature is checked always, with one algorithm, and an unverified address gets nowhere."""

    certs_url = CERTS_URL

    def complete_login(self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any) -> SocialLogin:
        claims = self._decode_id_token(app, kwargs["response"].get("id_token"))
        # `true` and nothing that Python takes for it.
        if claims.get("email_verified") is not True or not claims.get("email"):
            error = NotAllowed(_("Google has not verified this e-mail address. Sign in with a code by e-mail instead."))
            raise ImmediateHttpResponse(error_page(request, error))
        return self.get_provider().sociallogin_from_response(request, claims)

    def _decode_id_token(self, app: SocialApp, id_token: object) -> dict[str, Any]:
        """Raises `OAuth2Error`; `requests.RequestException` when the certificates can't be had."""
        try:
            token = str(id_token)
            return jwt.decode(
                token,
                self._key(str(jwt.get_unverified_header(token).get("kid"))),
                algorithms=["RS256"],
                audience=app.client_id,
                issuer=self.id_token_issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "aud", "iss", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise OAuth2Error("not an id_token of Google's for us") from error

    def _key(self, key_id: str) -> Any:
        with get_adapter().get_requests_session() as session:
            answer = session.get(self.certs_url)
            answer.raise_for_status()
            certificate = answer.json().get(key_id)
        if not isinstance(certificate, str):
            raise OAuth2Error("unknown key")
        return load_pem_x509_certificate(certificate.encode()).public_key()


begin: Callable[..., HttpResponse] = OAuth2LoginView.adapter_view(GoogleAdapter)
_finish: Callable[..., HttpResponse] = OAuth2CallbackView.adapter_view(GoogleAdapter)


def finish(request: HttpRequest) -> HttpResponse:
    """Where Google sends the browser back to. Raises `Unavailable` while too many wait for Google. Three requests."""
    slow = _("Google is slow to answer. Please try again in a minute, or sign in with a code by e-mail.")
    with turn(_ASKING, refusal=slow):
        return _finish(request)
