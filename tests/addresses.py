"""Every address of the product, from its URL configuration."""

from collections.abc import Iterator

from django.urls import URLPattern, URLResolver


def named(resolver: URLResolver, namespace: str = "") -> Iterator[tuple[str, URLPattern]]:
    """(name, pattern) of every address but the admin's, which has tests of its own."""
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            yield f"{namespace}{entry.name}", entry
        elif entry.namespace != "admin":
            yield from named(entry, f"{namespace}{entry.namespace}:" if entry.namespace else namespace)
