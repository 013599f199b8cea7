"""ASGI entry point: pages and REST for `make up`, websockets everywhere."""

# ruff: noqa: E402 (Django must be set up before anything that has models is imported)
import asyncio
import contextvars
import gc
import os
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("DATABASE_TIMEOUT_MS", "10000")

import django

django.setup(set_prefix=False)

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
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
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            response = await self._in_thread(self._respond, scope, body)
            try:
                await self.send_response(response, send)
            finally:
                await self._in_thread(response.close)

    def _respond(self, scope: dict[str, Any], body: IO[bytes]) -> HttpResponseBase:
        set_script_prefix(get_script_prefix(scope))
        request_started.send(sender=type(self), scope=scope)
        request, refusal = self.create_request(scope, body)
        response = refusal if request is None else self.get_response(request)
        assert response is not None
        response._handler_class = type(self)  # type: ignore[attr-defined]
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        return response

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
