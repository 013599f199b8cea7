"""What every REST view shares: times, paging and the one error envelope (RFC 9457, `application/problem+json`)."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404
from django.utils.translation import gettext as _
from django_filters.rest_framework import DjangoFilterBackend, FilterSet, UUIDFilter
from rest_framework import exceptions
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.views import set_rollback

from core.errors import DomainError, NotAllowed, NotFound
from core.request_id import current_request_id

logger = logging.getLogger(__name__)


class BodyParser(JSONParser):
    """JSON; what is nested too deeply to read is wrong like any other broken body."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().parse(*args, **kwargs)
        except RecursionError:
            raise exceptions.ParseError from None


class _Encoder(JSONEncoder):
    def default(self, obj: Any) -> Any:
        if isinstance(obj, datetime):
            return obj.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return super().default(obj)


class Renderer(JSONRenderer):
    """JSON; every time is RFC 3339 in UTC with milliseconds. Takes `DATETIME_FORMAT` None, which leaves times to it."""

    encoder_class = _Encoder


class RowFilterSet(FilterSet):  # type: ignore[misc]  # ships no types
    """Takes any id for a related row: an error for one that isn't there would tell of another tenant's that is."""

    FILTER_DEFAULTS = {**FilterSet.FILTER_DEFAULTS, models.ForeignKey: {"filter_class": UUIDFilter}}


class FilterBackend(DjangoFilterBackend):  # type: ignore[misc]
    """Makes such filters of a view's `filterset_fields`."""

    filterset_base = RowFilterSet


class Pagination(PageNumberPagination):
    """`?page=2&page_size=100`; at most 200 rows."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200


def problem(
    status: int,
    code: str,
    title: object,
    detail: object = "",
    errors: Mapping[str, Sequence[object]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """The one shape of an error."""
    body = {
        "type": f"urn:cartwise:problem:{code}",
        "title": str(title),
        "status": status,
        "detail": str(detail),
        "errors": {field: [str(message) for message in messages] for field, messages in (errors or {}).items()},
        "request_id": current_request_id.get(),
    }
    return Response(body, status=status, headers=headers, content_type="application/problem+json")


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook. None for what nobody foresaw: Django's 500 page then answers and logs it."""
    if isinstance(error, Http404):
        error = NotFound()
    elif isinstance(error, PermissionDenied):
        error = NotAllowed()
    if isinstance(error, DomainError):
        set_rollback()
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else None
        return problem(error.status, error.code, error.title, error.detail, error.errors, headers)
    if isinstance(error, exceptions.ValidationError):
        set_rollback()
        return problem(400, "invalid", _("Please check what you entered"), "", _flatten(error.detail))
    if isinstance(error, exceptions.APIException):
        set_rollback()
        headers = {}
        if getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = error.auth_header  # type: ignore[attr-defined]
        if getattr(error, "wait", None):
            headers["Retry-After"] = str(int(error.wait))  # type: ignore[attr-defined]
        return problem(error.status_code, str(error.default_code).replace("_", "-"), error.detail, "", None, headers)
    return None


def _flatten(detail: Any, path: str = "") -> dict[str, list[object]]:
    """`{"lines": [{"sku": ["required"]}]}` becomes `{"lines.0.sku": ["required"]}`."""
    if isinstance(detail, dict):
        parts = [_flatten(value, f"{path}.{key}" if path else str(key)) for key, value in detail.items()]
    elif isinstance(detail, list) and any(isinstance(item, (dict, list)) for item in detail):
        parts = [_flatten(value, f"{path}.{index}" if path else str(index)) for index, value in enumerate(detail)]
    else:
        return {path or "non_field_errors": list(detail) if isinstance(detail, list) else [detail]}
    return {key: messages for part in parts for key, messages in part.items()}
