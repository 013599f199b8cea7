"""Every address of the product, from its URL configuration."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver

UNNAMED = "None"


def named(resolver: URLResolver, namespace: str = "", *, admin: bool = False) -> Iterator[tuple[str, URLPattern]]:
    """(name, pattern) of every address; those of the admin, which has tests of its own, only where asked for."""
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            yield f"{namespace}{entry.name}", entry
        elif admin or entry.namespace != "admin":
            inner = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            yield from named(entry, inner, admin=admin)


def routed(resolver: URLResolver, namespace: str = "", route: str = "") -> Iterator[tuple[str, str]]:
    """(name, route from the root) of every address, the admin's too; the name ends with `UNNAMED` where it has none."""
    for entry in resolver.url_patterns:
        whole = f"{route}{entry.pattern}"
        if isinstance(entry, URLPattern):
            yield f"{namespace}{entry.name or UNNAMED}", whole
        else:
            yield from routed(entry, f"{namespace}{entry.namespace}:" if entry.namespace else namespace, whole)
