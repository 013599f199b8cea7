"""A cloud of one device on a loopback port: the REST answers of the protocol page, changeable by the test."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

DEVICE_ID = UUID(int=0xD)
CONTROLLER_ID = UUID(int=0xC)
CART_ID = UUID(int=0x101)
OTHER_CART_ID = UUID(int=0x102)


def config(version: int = 1, *carts: UUID) -> dict[str, Any]:
    return {
        "version": version,
        "controllers": [
            {
                "id": str(CONTROLLER_ID),
                "address": 0,
                "port": "/dev/ttyUSB0",
                "baudrate": 19200,
                "protocol": "kerong-cu16",
                "hook_closed_bit": 1,
            }
        ],
        "carts": [
            {"id": str(cart), "cart_number": number, "controller_id": str(CONTROLLER_ID), "locker_id": number}
            for number, cart in enumerate(carts or (CART_ID,))
        ],
    }


class MiniCloud:
    """`token` is the one that works; `codes` admit; `pending` is how many times registration says to wait."""

    def __init__(self, broker_port: int) -> None:
        self.broker_port = broker_port
        self.token = "token-1"
        self.codes = {"CODE-1"}
        self.pending = 0
        self.config = config()
        self.late_commands: list[Any] = []
        self.clock_offset = timedelta()
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.changed = threading.Condition()
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}"))

            def _answer(self, body: dict[str, Any]) -> None:
                authorised = self.headers.get("Authorization") == f"Bearer {cloud.token}"
                status, value = cloud.handle(self.command, self.path, body, authorised)
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_arguments: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def now(self) -> str:
        return (datetime.now(UTC) + self.clock_offset).isoformat(timespec="milliseconds")

    def handle(self, method: str, path: str, body: dict[str, Any], authorised: bool) -> tuple[int, dict[str, Any]]:
        with self.changed:
            self.requests.append((method, path, body))
            self.changed.notify_all()
        if path == "/api/devices/register":
            return self._register(body)
        if not authorised:
            return 401, {"detail": "no"}
        if path.endswith("/heartbeat"):
            commands, self.late_commands = self.late_commands, []
            return 200, {
                "status": "ok",
                "server_time": self.now(),
                "config_version": self.config["version"],
                "commands": commands,
            }
        if path.endswith("/token"):
            self.token += "+"
            return 200, {"device_token": self.token}
        return 200, self.config

    def _register(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if body["enrolment_code"] not in self.codes and body.get("claim") != "claim-1":
            return 403, {"detail": "no"}
        if self.pending:
            self.pending -= 1
            return 202, {"device_id": str(DEVICE_ID), "status": "pending", "claim": "claim-1"}
        return 201, {
            "device_id": str(DEVICE_ID),
            "device_token": self.token,
            "token_expires_at": (datetime.now(UTC) + timedelta(days=30)).isoformat(),
            "server_time": self.now(),
            "heartbeat_interval_s": 30,
            "telemetry_interval_s": 60,
            "mqtt_config": {
                "broker": "127.0.0.1",
                "port": self.broker_port,
                "tls": False,
                "client_id": str(DEVICE_ID),
                "username": str(DEVICE_ID),
                "topic": f"cartwise/demo/BRANCH-001/devices/{DEVICE_ID}",
            },
            "config": self.config,
        }

    def paths(self) -> list[str]:
        return [path.rsplit("/", 1)[-1] for _, path, _ in self.requests]

    def wait(self, condition: Any, deadline_s: float = 5.0) -> None:
        """Until `condition(self)` holds; looked at after each request."""
        with self.changed:
            assert self.changed.wait_for(lambda: condition(self), deadline_s), self.requests
