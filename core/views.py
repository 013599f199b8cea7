"""Error pages; below `/api/` the same errors as the envelope."""

import sys
from http import HTTPStatus

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from core.errors import DomainError
from core.request_id import current_request_id


def error_page(request: HttpRequest, error: DomainError) -> HttpResponse:
    """A refused request as a page in the reader's language."""
    template = f"{error.status}.html" if error.status in (400, 403, 404, 429) else "400.html"
    context = {"title": error.title, "detail": error.detail, "request_id": current_request_id.get()}
    response = render(request, template, context, status=error.status)
    if error.retry_after is not None:
        response["Retry-After"] = str(error.retry_after)
    return response


def say(error: DomainError) -> str:
    """A refusal in one line, for a form or a toast: what is wrong with a field, else title and detail."""
    texts = [str(text) for messages in error.errors.values() for text in messages]
    return " ".join(texts) or ". ".join(str(part) for part in (error.title, error.detail) if str(part))


def problem_body(error: DomainError) -> dict[str, object]:
    """A refusal as the one envelope (RFC 9457), where no REST view is there to make it."""
    return {
        "type": f"urn:cartwise:problem:{error.code}",
        "title": str(error.title),
        "status": error.status,
        "detail": str(error.detail),
        "errors": {field: [str(text) for text in texts] for field, texts in error.errors.items()},
        "request_id": current_request_id.get(),
    }


def refuse(request: HttpRequest, error: DomainError) -> HttpResponse:
    """A refusal by a middleware: the envelope below `/api/`, else a page."""
    if not request.path.startswith("/api/"):
        return error_page(request, error)
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    body = problem_body(error)
    return JsonResponse(body, status=error.status, content_type="application/problem+json", headers=headers)


def _error(request: HttpRequest, status: HTTPStatus, code: str, title: str) -> HttpResponse:
    request_id = current_request_id.get()
    if request.path.startswith("/api/"):
        refusal = DomainError()
        refusal.status, refusal.code, refusal.title = status, code, title
        return JsonResponse(problem_body(refusal), status=status, content_type="application/problem+json")
    template = f"{min(status, HTTPStatus.INTERNAL_SERVER_ERROR):d}.html"
    return render(request, template, {"request_id": request_id, "title": title}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400."""
    return _error(request, HTTPStatus.BAD_REQUEST, "bad-request", _("Bad request"))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    return _error(request, HTTPStatus.FORBIDDEN, "not-allowed", _("You may not do this"))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404."""
    return _error(request, HTTPStatus.NOT_FOUND, "not-found", _("Not found"))


def server_error(request: HttpRequest) -> HttpResponse:
    """500; 503 while the database is away, which passes by itself."""
    if isinstance(sys.exception(), OperationalError | InterfaceError):
        response = _error(request, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", _("This does not work right now"))
        response["Retry-After"] = "5"
        return response
    return _error(request, HTTPStatus.INTERNAL_SERVER_ERROR, "server-error", _("Something went wrong on our side"))
