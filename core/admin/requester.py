"""Whoever asks, as the admin sees them."""

from typing import Protocol, TypeVar, cast
from uuid import UUID

from django.db import models
from django.http import HttpRequest

M = TypeVar("M", bound=models.Model)


class Requester(Protocol):
    """What the admin asks of a user; `tenants.models.User` answers it."""

    pk: UUID
    is_authenticated: bool

    def may(self, permission: str, thing: object = None) -> object: ...

    def visible(self, queryset: "models.QuerySet[M]", permission: str) -> "models.QuerySet[M]": ...


def requester(request: HttpRequest) -> Requester:
    """The user of a request."""
    return cast(Requester, request.user)


def may(request: HttpRequest, permission: str, thing: object = None) -> bool:
    """Whether the requester holds a permission, on `thing` when one is given; strangers hold none."""
    user = requester(request)
    return user.is_authenticated and bool(user.may(permission, thing))
