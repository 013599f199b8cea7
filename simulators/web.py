"""A small HTTP server for control pages and vendor stand-ins: bounded bodies, timed-out sockets, one handler."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from urllib.parse import parse_qsl, urlsplit

MAX_BODY_BYTES = 64 * 1024
SOCKET_TIMEOUT_S = 30


class HttpError(Exception):
    """Answered as `{"error": message}` with `status`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def from_page(self) -> bool:
        """Sent by a form of our own pages, which want a page back."""
        return "text/html" in self.headers.get("accept", "")

    def form(self) -> dict[str, str]:
        """Form-encoded body. Raises HttpError 400 when it is not UTF-8 or has too many fields."""
        try:
            return dict(parse_qsl(self.body.decode(), keep_blank_values=True, max_num_fields=100))
        except ValueError as error:
            raise HttpError(400, f"not a form: {error}") from error

    def fields(self) -> dict[str, object]:
        """Body as a JSON object, or as a form when sent as one; empty body, no fields. Raises HttpError 400."""
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return {name: value for name, value in self.form().items() if value != ""}
        if not self.body:
            return {}
        value = parse_json(self.body)
        if not isinstance(value, dict):
            raise HttpError(400, "the body must be a JSON object")
        return value


def parse_json(body: bytes) -> object:
    """Raises HttpError 400, for a document nested too deep as well."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HttpError(400, f"not JSON: {error}") from error


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(value: object, status: int = 200) -> Response:
    return Response(status, json.dumps(value).encode(), "application/json; charset=utf-8")


def html_response(text: str, status: int = 200) -> Response:
    policy = {"Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'"}
    return Response(status, text.encode(errors="replace"), "text/html; charset=utf-8", policy)


def see_other(location: str) -> Response:
    return Response(303, b"", "text/plain", {"Location": location})


def style_sheet() -> Response:
    return Response(200, files("simulators").joinpath("page.css").read_bytes(), "text/css; charset=utf-8")


# None means: hang up without an answer.
Handler = Callable[[Request], Response | None]


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SOCKET_TIMEOUT_S
    disable_nagle_algorithm = True
    wbufsize = MAX_BODY_BYTES  # headers and body leave in one segment
    server: "WebServer"

    def _answer(self) -> None:
        try:
            response = self.server.handler(self._request())
        except HttpError as error:
            response = json_response({"error": str(error)}, error.status)
            if error.status in (411, 413):
                self.close_connection = True  # the body is still unread
        if response is None:
            self.close_connection = True
            return
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def _request(self) -> Request:
        if "transfer-encoding" in self.headers:
            raise HttpError(411, "send a Content-Length")
        length = self.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise HttpError(411, "Content-Length is not a number")
        if len(length) > 9 or int(length) > MAX_BODY_BYTES:
            raise HttpError(413, f"a body may have {MAX_BODY_BYTES} bytes")
        address = urlsplit(self.path)
        return Request(
            method=self.command,
            path=address.path,
            query=dict(parse_qsl(address.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(length)),
        )

    def log_message(self, format: str, *args: object) -> None:
        """Silent: paths carry vendors' API keys, and what matters is in the simulator's own log."""


class WebServer(ThreadingHTTPServer):
    """Listens at once; answers between `start` and `stop`."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: Handler) -> None:
        self.handler = handler
        super().__init__(address, _Exchange)

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host if isinstance(host, str) else host.decode()}:{port}"

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, name="http", daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
