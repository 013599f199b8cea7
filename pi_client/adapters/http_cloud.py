"""The cloud's REST API over one httpx client of its own, every answer bounded in time and size."""

import json
import socket
import ssl
from typing import Any
from uuid import UUID

import httpx

from ..ports import CloudUnreachable, CredentialsRefused, EnrolmentRefused

MAX_ANSWER_BYTES = 1024 * 1024
TIMEOUT = httpx.Timeout(10.0, connect=5.0)
NO_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class HttpCloud:
    """Implements ports.Cloud. Not thread-safe: the cloud thread owns it."""

    def __init__(self, api_url: str, *, ca_file: str | None = None) -> None:
        verify: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
        self._client = httpx.Client(
            base_url=api_url,
            timeout=TIMEOUT,
            transport=httpx.HTTPTransport(verify=verify, socket_options=[NO_DELAY], retries=0),
            headers={"User-Agent": "cartwise-pi", "Accept": "application/json"},
            follow_redirects=False,
        )

    def register(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._ask("POST", "/api/devices/register", body)
        except CredentialsRefused as error:
            raise EnrolmentRefused(str(error)) from error

    def heartbeat(self, device_id: UUID, token: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._ask("POST", f"/api/devices/{device_id}/heartbeat", body, token)

    def config(self, device_id: UUID, token: str) -> dict[str, Any]:
        return self._ask("GET", f"/api/devices/{device_id}/config", None, token)

    def rotate(self, device_id: UUID, token: str) -> dict[str, Any]:
        return self._ask("POST", f"/api/devices/{device_id}/token", {}, token)

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, token: str | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with self._client.stream(method, path, json=body, headers=headers) as response:
                content = _read_bounded(response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CloudUnreachable(f"{type(error).__name__}: {error}") from error
        if response.status_code in (401, 403):
            raise CredentialsRefused(f"{response.status_code} from {path}")
        if not response.is_success:
            raise CloudUnreachable(f"{response.status_code} from {path}", _retry_after(response))
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise CloudUnreachable(f"no JSON from {path}") from error
        if not isinstance(value, dict):
            raise CloudUnreachable(f"no object from {path}")
        return value


def _read_bounded(response: httpx.Response) -> bytes:
    content = b""
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise CloudUnreachable("answer too large")
    return content


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    return min(float(text), 3600.0) if text.isascii() and text.isdigit() else None
