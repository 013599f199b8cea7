"""What the branch's network may ask this Pi, with a token: `GET /api/status`, `/api/occupancy`, `/api/stats`."""

import hmac
import json
import logging
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .settings import LanApiSettings

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 8
CONNECTION_TIMEOUT_S = 5.0


class _Server(ThreadingHTTPServer):
    """A handful of connections at a time; more are closed at once."""

    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, address: tuple[str, int], token: str, pages: Mapping[str, Callable[[], dict[str, Any]]]) -> None:
        super().__init__(address, _Handler)
        self.token = token.encode()
        self.pages = pages
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("LAN API: connection from %s broke", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CONNECTION_TIMEOUT_S
    server_version = "cartwise-pi"
    sys_version = ""

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, b"Bearer " + self.server.token):
            self._send(HTTPStatus.UNAUTHORIZED, {"detail": "bearer token required"})
            return
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self._send(HTTPStatus.NOT_FOUND, {"detail": "no such page"})
        else:
            self._send(HTTPStatus.OK, page())

    def _send(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("LAN API: " + format, *args)


class LanApi:
    """Runs in a thread of its own. Raises OSError when the address can't be bound."""

    def __init__(self, settings: LanApiSettings, pages: Mapping[str, Callable[[], dict[str, Any]]]) -> None:
        self._server = _Server((settings.bind, settings.port), settings.token, pages)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.2}, name="lan api", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
