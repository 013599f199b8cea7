"""ASGI entry point: pages and REST for `make up`, websockets everywhere."""

# ruff: noqa: E402 (Django must be set up before anything that has models is imported)
import gc
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("DATABASE_POOL", "1")

import django

django.setup(set_prefix=False)

from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from config.checks import require_production_is_configured
from config.sockets import websocket_urlpatterns

require_production_is_configured()


class OneThreadHandler(ASGIHandler):
    """Runs middleware and view of a request in one thread.

    All of ours are synchronous; Django's own handler would hand each of them over to the thread and back, which costs
    as much as the page: 1.3 of 3 ms.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        return await sync_to_async(self.get_response, thread_sensitive=True)(request)


application = ProtocolTypeRouter(
    {
        "http": OneThreadHandler(),
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)

# What is loaded by now stays: the collector need not walk all of it again while somebody waits.
gc.collect()
gc.freeze()
