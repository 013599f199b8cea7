"""What the URL configuration has and `declared.py` has not."""

from collections.abc import Iterator

from django.urls import URLResolver, get_resolver

from tests.addresses import UNNAMED, routed
from tests.matrix import declared
from tests.matrix.asks import model_of, rest_names, rows_of_site, unnamed_of


def undeclared(resolver: URLResolver) -> Iterator[str]:
    """Addresses that nobody declared, those without a name, and those that hide behind the name of another one."""
    names = {*declared.PAGES, *declared.ADMIN, *(declared.REST.keys() & set(rest_names()))}
    for name, routes in routes_by_name(resolver).items():
        if name.rpartition(":")[2] == UNNAMED:
            unknown = routes - unnamed() if name == f"admin:{UNNAMED}" else routes
            yield from (f"{route}, which has no name" for route in sorted(unknown))
        elif name not in names and model_of(name) is None:
            yield name
        elif len(routes) > 1:
            yield f"{name}, which is the name of {sorted(routes)}"


def unnamed() -> set[str]:
    """Routes of the admin without a name that are meant."""
    return {declared.UNNAMED_OF_THE_SITE, *(unnamed_of(model) for model in rows_of_site())}


def routes_by_name(resolver: URLResolver | None = None) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, route in routed(resolver or get_resolver()):
        found.setdefault(name, set()).add(route)
    return found
