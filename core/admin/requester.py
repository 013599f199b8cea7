"""Whoever asks, as the admin sees them."""

from typing import Protocol, TypeVar, cast
from uuid import UUID

from django.db import models
from django.http import HttpRequest

M = TypeVar("M", bound=models.Model)
CONTACT = "users:contact"


class Requester(Protocol):
    """What the admin asks of a user; `tenants.models.User` answers it."""

    pk: UUID
    is_authenticated: bool

    def may(self, permission: str, thing: object = None) -> object: ...

    def may_everywhere(self, permission: str) -> bool: ...

    def visible(self, queryset: "models.QuerySet[M]", permission: str) -> "models.QuerySet[M]": ...


def requester(request: HttpRequest) -> Requester:
    """The user of a request."""
    return cast(Requester, request.user)


def may(request: HttpRequest, permission: str, thing: object = None) -> bool:
    """Whether the requester holds a permission, on `thing` when one is given; strangers hold none."""
    user = requester(request)
    return user.is_authenticated and bool(user.may(permission, thing))


def may_contact(request: HttpRequest, thing: object = None) -> bool:
    """Whether the requester may read numbers in full: that of `thing`, or when none is given everybody's."""
    return may(request, CONTACT, thing) if thing is not None else requester(request).may_everywhere(CONTACT)
