"""Whose address a request comes from."""

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The client's IP address. `X-Forwarded-For` counts only as far as trusted proxies wrote it."""
    address: str = request.META.get("REMOTE_ADDR", "")
    forwarded = request.headers.get("X-Forwarded-For", "")
    for hop in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        if address not in settings.TRUSTED_PROXIES:
            break
        address = hop
    return address
