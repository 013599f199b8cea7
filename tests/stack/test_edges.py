"""The web process as it really runs, against whoever writes to its port by hand: refused, and the next is served."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest

from tests.running_stack import RunningStack, running_stack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("edges-stack")]
MEGABYTE = 1024 * 1024
WITHIN_S = 20.0
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n".format(
        key="dGhlIHNhbXBsZSBub25jZQ=="
    )
)


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    with running_stack(SIMULATED_PI="0") as started:
        yield started


@pytest.fixture(autouse=True)
def still_serving(stack: RunningStack) -> Iterator[None]:
    """Whatever a test sends, the next one gets a page."""
    yield
    assert httpx.get(f"{stack.run['web']}/auth/sign-in", timeout=WITHIN_S).status_code == 200


def send(stack: RunningStack, head: str, parts: Iterator[bytes] = iter(())) -> tuple[int, int]:
    """Write a request by hand until it is answered; its status (0: hung up) and how many bytes of it were taken."""
    address = urlsplit(stack.run["web"])
    assert address.hostname is not None
    assert address.port is not None
    with closing(socket.create_connection((address.hostname, address.port), timeout=WITHIN_S)) as connection:
        taken = len(head)
        try:
            connection.sendall(head.format(host=address.netloc).encode("latin-1"))
        except ConnectionError:
            return 0, taken
        deadline = time.monotonic() + WITHIN_S
        connection.setblocking(False)
        answer = b""
        for part in parts:
            rest = memoryview(part)
            while rest and not answer:
                assert time.monotonic() < deadline, f"neither answered nor read on after {taken} bytes"
                try:
                    sent = connection.send(rest)
                    rest, taken = rest[sent:], taken + sent
                except BlockingIOError:
                    pass
                except OSError:
                    return 0, taken
                answer = _come(connection)
            if answer:
                break
        connection.settimeout(WITHIN_S)
        try:
            answer += b"" if answer else connection.recv(4096)
        except ConnectionError:
            return 0, taken
        return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0, taken


def _come(connection: socket.socket) -> bytes:
    try:
        return connection.recv(4096)
    except BlockingIOError:
        return b""
    except ConnectionError:
        return b"hung up"


def endless(size: int) -> Iterator[bytes]:
    """Chunks of a body that never says it is whole."""
    chunk = b"a" * 64 * 1024
    for _ in range(size // len(chunk)):
        yield b"%x\r\n%s\r\n" % (len(chunk), chunk)


# Whoever is still writing when it hangs up may not come to read the answer.
TOO_LARGE = (413, 0)


def post(path: str, length: str) -> str:
    return f"POST {path} HTTP/1.1\r\nHost: {{host}}\r\nContent-Type: application/json\r\n{length}\r\n\r\n"


@pytest.mark.parametrize("path", ["/auth/sign-in", "/api/devices/register", "/static/core/app.css", "/healthz"])
def test_body_of_fifty_megabytes(stack: RunningStack, path: str) -> None:
    status, taken = send(stack, post(path, f"Content-Length: {50 * MEGABYTE}"), iter([b"a" * MEGABYTE] * 50))

    assert status in TOO_LARGE
    assert taken < 20 * MEGABYTE


@pytest.mark.parametrize("path", ["/auth/sign-in", "/api/devices/register"])
def test_body_in_chunks_without_end(stack: RunningStack, path: str) -> None:
    status, taken = send(stack, post(path, "Transfer-Encoding: chunked"), endless(200 * MEGABYTE))

    assert status in TOO_LARGE
    assert taken < 20 * MEGABYTE


def test_head_without_end(stack: RunningStack) -> None:
    status, taken = send(stack, "GET / HTTP/1.1\r\nHost: {host}\r\nX-A: ", iter([b"a" * MEGABYTE] * 200))

    assert status in (400, 0)
    assert taken < 20 * MEGABYTE


@pytest.mark.parametrize(
    "head",
    [
        pytest.param("GET / HTTP/1.1\r\nHost: {host}\r\nX-A: " + "a" * 4 * MEGABYTE + "\r\n\r\n", id="huge-header"),
        pytest.param("GET / HTTP/1.1\r\nHost: {host}\r\n" + "X-A: b\r\n" * 100_000 + "\r\n", id="many-headers"),
        pytest.param("GET /" + "a" * 4 * MEGABYTE + " HTTP/1.1\r\nHost: {host}\r\n\r\n", id="huge-path"),
        pytest.param("GET / HTTP/1.1\r\nHost: {host}\r\nX-A: a\x00b\r\n\r\n", id="nul-in-header"),
        pytest.param("GET /\x00 HTTP/1.1\r\nHost: {host}\r\n\r\n", id="nul-in-path"),
        pytest.param("GET /auth/sign-in?q=%00 HTTP/1.1\r\nHost: {host}\r\n\r\n", id="nul-in-query"),
        pytest.param("GET /auth/sign-in HTTP/1.1\r\nHost: {host}\r\nCookie: sessionid=%00\r\n\r\n", id="nul-in-cookie"),
        pytest.param("GET /%ff%fe HTTP/1.1\r\nHost: {host}\r\n\r\n", id="not-utf-8"),
        pytest.param("GET /auth/sign-in HTTP/1.1\r\nHost: evil.example\r\n\r\n", id="foreign-host"),
        pytest.param("FOO /control/ HTTP/1.1\r\nHost: {host}\r\n\r\n", id="no-method"),
        pytest.param("nonsense\r\n\r\n", id="no-http"),
        pytest.param(
            "POST /auth/sign-in HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
            "0\r\n\r\nGET /admin/ HTTP/1.1\r\n\r\n",
            id="two-lengths",
        ),
        pytest.param("POST /auth/sign-in HTTP/1.1\r\nHost: {host}\r\nContent-Length: -5\r\n\r\n", id="negative-length"),
        pytest.param("GET /ws/me HTTP/1.1\r\nHost: {host}\r\n" + UPGRADE + "\r\n", id="socket-without-origin"),
        pytest.param(
            "GET /ws/me HTTP/1.1\r\nHost: {host}\r\nOrigin: https://evil.example\r\n" + UPGRADE + "\r\n",
            id="socket-of-another-site",
        ),
        pytest.param(
            "GET /ws/me HTTP/1.1\r\nHost: {host}\r\nOrigin: http://127.0.0.1:1\r\n" + UPGRADE + "\r\n",
            id="socket-of-another-port",
        ),
    ],
)
def test_request_nobody_sends(stack: RunningStack, head: str) -> None:
    status, _ = send(stack, head)

    assert status == 0 or 400 <= status < 500


def test_deep_json(stack: RunningStack) -> None:
    answer = httpx.post(
        f"{stack.run['web']}/api/auth/token/refresh",
        content=b"[" * 200_000,
        headers={"Content-Type": "application/json"},
        timeout=WITHIN_S,
    )

    assert answer.status_code == 400


def test_address_is_not_what_a_header_says(stack: RunningStack) -> None:
    """Uvicorn alone would believe whoever comes from this machine."""
    left = []
    for number in range(5):  # a little comes back between them
        # Refused for want of a token, and counted.
        answer = httpx.post(
            f"{stack.run['web']}/auth/sign-in", headers={"X-Forwarded-For": f"198.51.100.{number}"}, timeout=WITHIN_S
        )
        left.append(int(answer.headers["RateLimit"].split(";r=")[1].split(";")[0]))

    assert left[-1] < left[0]
