"""Bearer tokens of people."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from tenants.models import User
from tenants.services.sessions import user_of_token


def bearer_token(request: Request) -> str | None:
    """The token of an `Authorization: Bearer …` header (RFC 6750); None when there is no such header."""
    scheme, _, token = get_authorization_header(request).partition(b" ")
    return token.decode("ascii", "replace").strip() if scheme.lower() == b"bearer" else None


class BearerAuthentication(BaseAuthentication):
    """A person's access token. A header that holds anything else is refused, never ignored."""

    def authenticate(self, request: Request) -> tuple[User, str] | None:
        token = bearer_token(request)
        if token is None:
            return None
        user = user_of_token(token)
        if user is None:
            raise AuthenticationFailed
        return user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Names the scheme in the OpenAPI document."""

    target_class = BearerAuthentication
    name = "personToken"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
