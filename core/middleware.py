"""What every answer carries."""

import re
from collections.abc import Callable
from urllib.parse import unquote
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import get_language_from_request, override
from django.utils.translation import gettext_lazy as _

from core.addresses import forget_scheme_of_strangers
from core.errors import DomainError, InvalidInput, NotFound, TooLarge
from core.request_id import current_request_id
from core.views import refuse

GetResponse = Callable[[HttpRequest], HttpResponse]
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")

# Nothing inline anywhere: scripts, styles and handlers are files of ours, in the admin and the API's pages too.
_SOURCES = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'; frame-ancestors 'none'"
# The admin's theme runs Alpine.js, which compiles the expressions it finds in attributes.
_ADMIN_SOURCES = f"{_SOURCES}; script-src 'self' 'unsafe-eval'"


class ProxiesMiddleware:
    """Before all others: nobody but a trusted proxy says by what scheme it was reached."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        forget_scheme_of_strangers(request)
        return self.get_response(request)


class RequestIdMiddleware:
    """Names each request; the name goes into logs, error pages and the `X-Request-Id` header."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        token = current_request_id.set(request_id)
        try:
            response = self.get_response(request)
        finally:
            current_request_id.reset(token)
        response["X-Request-Id"] = request_id
        return response


class PlausibleMiddleware:
    """Refuses what no browser and no program of ours sends, before anything tries to read it.

    PostgreSQL and the file system can't take NUL; a body above `LARGEST_BODY_BYTES` would fill memory or disk.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        error = _implausible(request)
        if error is None:
            return self.get_response(request)
        with override(get_language_from_request(request)):
            response = refuse(request, error)
        # What is still on its way is nobody's to read.
        response["Connection"] = "close"
        return response


def _implausible(request: HttpRequest) -> DomainError | None:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        return InvalidInput()
    if int(length.lstrip("0")[:18] or "0") > settings.LARGEST_BODY_BYTES:
        return TooLarge(_("Nothing was changed. Send less at once."))
    if "\x00" in request.path:
        return NotFound()
    texts = (request.META.get("QUERY_STRING", ""), request.META.get("HTTP_COOKIE", ""))
    return InvalidInput() if any("\x00" in unquote(text) for text in texts) else None


class SecurityHeadersMiddleware:
    """What browsers are told to allow, on every answer there is; Django's own middleware adds the rest."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.setdefault("Content-Security-Policy", content_security_policy(request.path))
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        response.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=(), otp-credentials=(self)")
        # Files say for themselves how long they are good for; all else is drawn for one person.
        response.setdefault("Cache-Control", "no-store, private")
        return response


def content_security_policy(path: str) -> str:
    """The policy of an address. Forms below `/auth/` may lead to Google, since browsers check where one redirects."""
    targets = " ".join(["'self'", *(settings.FORM_TARGETS if path.startswith("/auth/") else ())])
    return f"{_ADMIN_SOURCES if path.startswith('/admin/') else _SOURCES}; form-action {targets}"
