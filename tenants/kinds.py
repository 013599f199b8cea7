"""Kinds of things that belong to somebody: models that say where their rows are and whose. The admin knows the rest."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.http import HttpRequest
from django.utils.text import capfirst

from core.admin.base import ScopedAdmin
from core.places import paths
from tenants import access
from tenants.directory import contactable
from tenants.models import User

MOST_FOUND = 12
_NAMES = ("chain_path", "branch_path", "owner_path")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: its name in addresses (`carts.cart`), and the resource of its permissions (`carts`)."""

    name: str
    resource: str
    model: type[models.Model]
    admin: ScopedAdmin

    @property
    def label(self) -> str:
        return capfirst(str(self.model._meta.verbose_name))

    def find(self, asker: User, pk: str) -> models.Model | None:
        """The thing with that key, if the asker may see it; None for nonsense too."""
        try:
            return self._seen(asker).filter(pk=pk.replace("\x00", "")[:64]).first()
        except (ValueError, ValidationError, OverflowError):
            return None

    def search(self, request: HttpRequest, asker: User, term: str) -> list[models.Model]:
        """The first things in the asker's sight with that word where the admin would look for it.

        Numbers and addresses are looked through only of people whom the asker may contact.
        """
        rows = self._seen(asker)
        try:
            return list((rows.filter(self._found(request, asker, term)) if term else rows).distinct()[:MOST_FOUND])
        except (ValueError, ValidationError):
            return []  # a ledger is asked for a whole id

    def _found(self, request: HttpRequest, asker: User, term: str) -> Q:
        contacts = self.admin.contact_lookups
        open_to_all = [field for field in self.admin.get_search_fields(request) if field not in contacts]
        found = Q.create([(_look_up(field), term) for field in open_to_all], connector=Q.OR)
        for field in contacts:
            person = field.rpartition("__")[0] or "pk"
            found |= Q((_look_up(field), term), (f"{person}__in", contactable(asker).values("pk")))
        return found

    def _seen(self, asker: User) -> "models.QuerySet[Any]":
        rows: models.QuerySet[Any] = self.model._default_manager.all()
        related = self.admin.name_related
        return access.visible(asker, rows.select_related(*related) if related else rows, f"{self.resource}:view")


def _look_up(field: str) -> str:
    """A search field of Django's admin as a look-up."""
    if field.endswith("__exact"):
        return field
    prefixes = {"^": "__istartswith", "=": "__iexact"}
    return f"{field[1:]}{prefixes[field[0]]}" if field[0] in prefixes else f"{field}__icontains"


def kinds() -> dict[str, Kind]:
    """Every kind by its name, in the order of their labels."""
    found = [
        Kind(each.opts.label_lower, each.resource, each.model, each)
        for each in admin.site._registry.values()
        if isinstance(each, ScopedAdmin) and any(paths(each.model, name) for name in _NAMES)
    ]
    return {kind.name: kind for kind in sorted(found, key=lambda kind: kind.label)}
