"""Whom a request over REST is from: bearer tokens of people and programs, and the header of Cloudflare Access."""

from typing import TYPE_CHECKING

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request

from core import audit
from tenants.access import person
from tenants.api.proof import require_second_factor
from tenants.cloudflare import asserted_user
from tenants.models import User
from tenants.services.personal_tokens import PREFIX, id_of, user_of_personal_token
from tenants.services.sessions import user_of_token

if TYPE_CHECKING:
    from rest_framework.views import APIView


def bearer_token(request: Request) -> str | None:
    """The token of an `Authorization: Bearer …` header (RFC 6750); None when there is no such header."""
    scheme, _, token = get_authorization_header(request).partition(b" ")
    return token.decode("ascii", "replace").strip() if scheme.lower() == b"bearer" else None


class BearerAuthentication(BaseAuthentication):
    """An access token or a personal token. A bearer that is neither is refused; other schemes say nothing here."""

    def authenticate(self, request: Request) -> tuple[User, str] | None:
        token = bearer_token(request)
        if token is None:
            return None
        personal = token.startswith(PREFIX)
        user = user_of_personal_token(token) if personal else user_of_token(token)
        if user is None:
            raise AuthenticationFailed
        if personal:
            audit.amend_origin(token=id_of(token))
        return user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class CloudflareAuthentication(SessionAuthentication):
    """Whom the header of Cloudflare Access names, where no session and no token says more; the middleware checked it.

    A browser sends the header by itself, with whatever another site makes it ask for. What people change this way takes
    a CSRF token therefore; programs send their client secret on purpose.
    """

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        user = asserted_user(request._request)
        if user is None:
            return None
        if not user.client_id:
            self.enforce_csrf(request)
        return user, None


class IsThemselves(IsAuthenticated):
    """A person who signed in: what concerns the account is neither for their programs nor for who acts as them."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not super().has_permission(request, view) or not isinstance(request.user, User):
            return False
        return request.user.powers.scopes is None and request.user.powers.behind is None


class MayChangeAccount(IsThemselves):
    """For staff and managers with their second factor, too: without it they read who they are and sign out, no more."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not super().has_permission(request, view):
            return False
        require_second_factor(person(request.user))
        return True


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Names the scheme in the OpenAPI document."""

    target_class = BearerAuthentication
    name = "personToken"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An access token or a personal token."}


class CloudflareScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Names the scheme in the OpenAPI document."""

    target_class = CloudflareAuthentication
    name = "cloudflareAccess"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "Cf-Access-Jwt-Assertion"}
