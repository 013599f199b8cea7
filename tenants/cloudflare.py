"""Cloudflare Access in front of the product: whoever it let through, told in a header it signs (decision 11).

Optional by `CF_ACCESS_TEAM_URL`; without it the header means nothing. Only the header counts: the cookie
`CF_Authorization` is the browser's, and Cloudflare does not promise it. A wrong header is refused, never ignored.
Source: Cloudflare One, “Validate JWTs”.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
from allauth.account.internal.flows.login import record_authentication
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from core.errors import DomainError, NotAllowed
from core.sockets import Application, deny, request_of
from core.views import refuse
from tenants.cloudflare_keys import key_of
from tenants.models import User
from tenants.powers import Powers
from tenants.requester import Requester, has_second_factor, methods_of, sign_in

GetResponse = Callable[[HttpRequest], HttpResponse]

HEADER = "Cf-Access-Jwt-Assertion"
METHOD = "cloudflare_access"
ALGORITHM = "RS256"
LEEWAY = timedelta(seconds=30)
MOST_CHARACTERS = 8 * 1024
BACK_OFFICE = ("/admin/", "/control/", "/ws/branches/")
HEALTH = "/healthz"
_ASSERTED = "cloudflare_user"


class AccessRefused(NotAllowed):
    """Cloudflare Access did not let them through to us, or they are nobody here."""

    code = "access-refused"
    title = _("You can't come in this way")


def asserted_user(request: HttpRequest) -> User | None:
    """Whom the header of a request to the REST API named, with their powers; None when it came without one."""
    return getattr(request, _ASSERTED, None)


def user_of_assertion(assertion: str, *, signed_in: Requester | None = None) -> User:
    """The person or the program a header's value stands for. One query, none when it is who is signed in anyway.

    Raises `AccessRefused`, and `Unavailable` without keys.
    """
    claims = _claims(assertion)
    email, client_id = claims.get("email"), claims.get("common_name")
    user: User | None = None
    if isinstance(email, str) and email:
        if isinstance(signed_in, User) and signed_in.email == email.lower() and not signed_in.client_id:
            return signed_in
        user = User.objects.filter(email=email.lower(), client_id__isnull=True, is_active=True).first()
    elif isinstance(client_id, str) and client_id and not claims.get("sub"):
        user = User.objects.filter(client_id=client_id, is_active=True).first()
    if user is None:
        raise AccessRefused(_("There is no account for you here. Ask whoever manages this back office."))
    user.powers = Powers(second_factor=bool(user.client_id) or settings.CF_ACCESS_IS_SECOND_FACTOR)
    return user


class CloudflareAccessMiddleware:
    """Makes the header's person the session's, in a browser; after Django's session and authentication.

    For the REST API a header alone begins no session: `asserted_user` has the person.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            _recognise(request)
        except DomainError as error:
            return refuse(request, error)
        return self.get_response(request)


def _recognise(request: HttpRequest) -> None:
    if request.path == HEALTH:
        return
    assertion = request.headers.get(HEADER) if settings.CF_ACCESS_TEAM_URL else None
    if assertion is not None:
        _let_in(request, user_of_assertion(assertion, signed_in=request.user))
    elif _is_shut(request):
        raise AccessRefused(_("The back office is reached through Cloudflare Access only."))


def _is_shut(request: HttpRequest) -> bool:
    """Whether nobody gets there without the header."""
    return settings.CF_ACCESS_REQUIRED and request.path.startswith(BACK_OFFICE)


def _let_in(request: HttpRequest, user: User) -> None:
    if request.user == user:
        _add_to_session(request, user)
    elif user.client_id or request.path.startswith("/api/"):
        if request.user.is_authenticated:
            logout(request)
        setattr(request, _ASSERTED, user)
    else:
        sign_in(request, user, method=METHOD)
        _add_to_session(request, user)


def _add_to_session(request: HttpRequest, user: User) -> None:
    """What this way in proves, once a session."""
    if METHOD not in methods_of(request.session, user):
        record_authentication(request, user, method=METHOD)
    if settings.CF_ACCESS_IS_SECOND_FACTOR and not has_second_factor(request.session, user):
        record_authentication(request, user, method="mfa", type=METHOD)


def _claims(assertion: str) -> dict[str, Any]:
    if len(assertion) > MOST_CHARACTERS:
        raise AccessRefused
    try:
        header = jwt.get_unverified_header(assertion)
        key_id = header.get("kid")
        # Before anything is asked of the team for it.
        if header.get("alg") != ALGORITHM or not isinstance(key_id, str):
            raise AccessRefused
        key = key_of(key_id)
        if key is None:
            raise AccessRefused
        return jwt.decode(
            assertion,
            key,
            algorithms=[ALGORITHM],
            audience=settings.CF_ACCESS_AUDIENCES,
            issuer=settings.CF_ACCESS_TEAM_URL,
            leeway=LEEWAY,
            options={"require": ["exp", "iat", "aud", "iss"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError):
        raise AccessRefused from None


class CloudflareSockets:
    """ASGI middleware, inside the session's: a wrong header opens no websocket, nor one of another's session.

    Nor does none open one of the back office where the header is required.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        request = request_of(scope)
        assertion = request.headers.get(HEADER) if settings.CF_ACCESS_TEAM_URL else None
        if assertion is None:
            admitted = not _is_shut(request)
        else:
            admitted = await database_sync_to_async(_admits)(assertion, scope["user"])
        if admitted:
            await self.application(scope, receive, send)
        else:
            await deny(scope, receive, send, status=403)


def _admits(assertion: str, signed_in: Requester) -> bool:
    try:
        return user_of_assertion(assertion, signed_in=signed_in) == signed_in
    except DomainError:
        return False
