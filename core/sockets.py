"""What guards a websocket before any consumer sees it."""

from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from core.addresses import forget_scheme_of_strangers

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
_SCHEMES = {"ws": "http", "wss": "https"}


def request_of(scope: dict[str, Any]) -> HttpRequest:
    """The request that asks for a websocket, to be judged like any other."""
    scheme = _SCHEMES.get(scope.get("scheme", "ws"), "http")
    request = ASGIRequest({**scope, "method": "GET", "scheme": scheme}, BytesIO())
    forget_scheme_of_strangers(request)
    return request


async def deny(scope: dict[str, Any], receive: Any, send: Any, *, status: int, retry_after: int | None = None) -> None:
    """Refuse a websocket before it opens; with `status` where the server can say one, else it says 403."""
    await receive()
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})
        return
    headers = [] if retry_after is None else [(b"retry-after", str(retry_after).encode())]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b""})
