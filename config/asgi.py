"""ASGI entry point: pages and REST for `make up`, websockets everywhere."""

# ruff: noqa: E402 (Django must be set up before anything that has models is imported)
import asyncio
import contextvars
import gc
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from tempfile import SpooledTemporaryFile
from typing import IO, Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("DATABASE_TIMEOUT_MS", "10000")

import django

django.setup(set_prefix=False)

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.signals import request_started
from django.http import FileResponse
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from config.checks import require_production_is_configured
from config.sockets import websocket_urlpatterns
from core.origins import SocketOrigins
from core.rates import RatedSockets
from tenants.cloudflare import CloudflareSockets

require_production_is_configured()

REQUEST_THREADS = 20


class ThreadsHandler(ASGIHandler):
    """Runs a request from its first signal to its response in one of a few threads that keep their connections.

    Middleware and views of ours are synchronous. Django's own handler hands each of them, and each receiver of a
    signal, over to a thread that lives for this request alone, and back: nearly 3 ms of every request.
    """

    def __init__(self) -> None:
        super().__init__()
        self._threads = ThreadPoolExecutor(REQUEST_THREADS, thread_name_prefix="request")

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def handle(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            body, length = await self._read(receive)
        except RequestAborted:
            return
        # The length it says counts as little as none at all: what was read does, and `core.middleware` judges it.
        headers = [header for header in scope["headers"] if header[0] != b"content-length"]
        scope = {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}
        with body:
            response = await self._in_thread(self._respond, scope, body)
            try:
                await self.send_response(response, send)
            finally:
                await self._in_thread(response.close)

    async def _read(self, receive: Any) -> tuple[IO[bytes], int]:
        """The body and its length; of one that is too long, nothing and how much of it came before that was clear."""
        body = SpooledTemporaryFile(max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE)  # noqa: SIM115  closed by the caller
        length, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                body.close()
                raise RequestAborted
            part = message.get("body", b"")
            length, more = length + len(part), message.get("more_body", False)
            if length > settings.LARGEST_BODY_BYTES:
                body.truncate(0)
                break
            body.write(part)
        body.seek(0)
        return body, length

    def _respond(self, scope: dict[str, Any], body: IO[bytes]) -> HttpResponseBase:
        set_script_prefix(get_script_prefix(scope))
        request_started.send(sender=type(self), scope=scope)
        request, refusal = self.create_request(scope, body)
        response = refusal if request is None else self.get_response(request)
        assert response is not None
        response._handler_class = type(self)  # type: ignore[attr-defined]
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
            response.streaming_content = self._parts(response.streaming_content)
        return response

    async def _parts(self, parts: Any) -> AsyncIterator[bytes]:
        """A file piece by piece, read in our threads; Django would first collect all of it in a thread of its own."""
        while part := await self._in_thread(next, parts, b""):
            yield part

    async def _in_thread(self, action: Any, *arguments: Any) -> Any:
        # Each request sees what this one set (language, request id) as little as it would in a thread of its own.
        run = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self._threads, run, action, *arguments)


application = ProtocolTypeRouter(
    {
        "http": ThreadsHandler(),
        "websocket": SocketOrigins(
            RatedSockets(AuthMiddlewareStack(CloudflareSockets(URLRouter(websocket_urlpatterns))))
        ),
    }
)

# What is loaded by now stays: the collector need not walk all of it again while somebody waits.
gc.collect()
gc.freeze()
