"""Which sites' pages may make a browser send something here.

Cookies go with a request wherever it comes from, and so with a websocket. Django's token proves that a form is ours;
this refuses, before any view, what a browser itself says comes from elsewhere (Fetch Metadata, RFC 6454), also where no
token is asked for. Programs send neither `Origin` nor `Sec-Fetch-Site`, and have no cookie that could be abused.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from core.errors import NotAllowed
from core.sockets import Application, deny, request_of
from core.views import refuse

GetResponse = Callable[[HttpRequest], HttpResponse]

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_OUR_PAGES = ("same-origin", "none")


class OriginMiddleware:
    """Refuses to change anything for a page of a site that is neither ours nor named in a setting."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method in SAFE or _comes_from_us(request):
            return self.get_response(request)
        return refuse(request, NotAllowed(_("This came from another website. Nothing was changed.")))


def _comes_from_us(request: HttpRequest) -> bool:
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site", "none") in _OUR_PAGES
    allowed = settings.CORS_ALLOWED_ORIGINS if request.path.startswith("/api/") else ()
    return is_ours(origin, request) or origin in allowed


def is_ours(origin: str, request: HttpRequest) -> bool:
    """Whether it is the site the request was sent to, or one that `CSRF_TRUSTED_ORIGINS` names."""
    return origin == f"{request.scheme}://{request.get_host()}" or origin in settings.CSRF_TRUSTED_ORIGINS


class SocketOrigins:
    """ASGI middleware: only pages of ours open websockets. Whoever says no origin is no page."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if _opened_by_us(scope):
            await self.application(scope, receive, send)
        else:
            await deny(scope, receive, send, status=403)


def _opened_by_us(scope: dict[str, Any]) -> bool:
    request = request_of(scope)
    try:
        return is_ours(request.headers.get("Origin", ""), request)
    except DisallowedHost:
        return False
