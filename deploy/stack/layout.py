"""Where a stack keeps its things: folders, secrets, ports and the environment its processes share.

Everything lives under `VAR_DIR` (default `var/` beside the Makefile). Files with secrets are 0600 and replaced
atomically.
"""

import base64
import fcntl
import json
import os
import random
import secrets
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
DEFAULT_WEB_PORT = 8000
# Below the kernel's ephemeral ports, so that no outgoing connection sits on a port that is to be used again.
PORT_RANGE = range(20000, 32000)


class AlreadyRunning(Exception):
    """Another supervisor holds this VAR_DIR."""


class PortTaken(Exception):
    """The port that was asked for is another program's, or none at all."""


@dataclass(frozen=True)
class Layout:
    """The paths of one stack."""

    var: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Layout":
        """`VAR_DIR`, absolute or relative to the project's root."""
        return cls(var=ROOT / (environment.get("VAR_DIR") or "var"))

    @property
    def run_file(self) -> Path:
        """Describes the running stack to scripts; absent while none runs."""
        return self.var / "run.json"

    @property
    def secrets_file(self) -> Path:
        return self.var / "secrets.json"

    @property
    def ports_file(self) -> Path:
        return self.var / "ports.json"

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @property
    def pi(self) -> Path:
        """The simulated Pi's configuration, token, journal and outbox."""
        return self.var / "pi"

    @property
    def rs485_pty(self) -> Path:
        """A symlink to the simulated RS485 line."""
        return self.var / "rs485"

    def create(self) -> None:
        self.var.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        self.pi.mkdir(exist_ok=True)

    def lock(self) -> TextIO:
        """Hold this VAR_DIR until the returned file is closed or the process ends, however it ends.

        Raises AlreadyRunning.
        """
        handle = (self.var / "lock").open("a")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.close()
            raise AlreadyRunning(str(self.var)) from error
        return handle

    def read_run(self) -> dict[str, Any] | None:
        """What `run.json` says, or None when no supervisor is alive behind it (a leftover of kill -9, say)."""
        if not self.run_file.exists():
            return None
        try:
            self.lock().close()
        except AlreadyRunning:
            description: dict[str, Any] = json.loads(self.run_file.read_text())
            return description
        return None


@dataclass(frozen=True)
class Secrets:
    """Generated once per VAR_DIR; nothing in the project ships with a password."""

    secret_key: str
    jwt_key: str
    field_key: str
    postgres_password: str
    database_password: str
    database_app_password: str
    redis_password: str
    mqtt_admin_password: str
    mqtt_bridge_password: str

    @classmethod
    def load(cls, path: Path) -> "Secrets":
        """Read `path`, generating what is missing."""
        known = json.loads(path.read_text()) if path.exists() else {}
        loaded = cls(**{field.name: known.get(field.name) or _generate(field.name) for field in fields(cls)})
        if asdict(loaded) != known:
            write_private(path, json.dumps(asdict(loaded), indent=1))
        return loaded


def _generate(name: str) -> str:
    """48 random bytes; the key of encrypted fields is one of AES-256."""
    if name == "field_key":
        return base64.b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(48)


class Ports:
    """Free ports, the same ones on each run while they stay free: a Pi remembers where its broker was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def reserve(self, name: str) -> int:
        port = self._known.get(name)
        taken = {other for known, other in self._known.items() if known != name}
        while port is None or port in taken or not is_free(port):
            port = random.choice(PORT_RANGE)
        if self._known.get(name) != port:
            self._known[name] = port
            write_private(self._path, json.dumps(self._known, indent=1))
        return port


def web_socket(environment: Mapping[str, str]) -> socket.socket:
    """Listens on `PORT` as given, otherwise on 8000 or the next free one. Raises PortTaken.

    Held for as long as the stack runs: a port only looked at would go to two copies that start at the same time, and
    each would take the other's pages for its own.
    """
    if wanted := environment.get("PORT"):
        if not (wanted.isdecimal() and 0 < int(wanted) < 65536):
            raise PortTaken(f"PORT={wanted} is not the number of a port.")
        if held := _listen(int(wanted)):
            return held
        raise PortTaken(f"PORT={wanted} is in use by another program.")
    for port in range(DEFAULT_WEB_PORT, DEFAULT_WEB_PORT + 1000):
        if held := _listen(port):
            return held
    raise PortTaken(f"No port is free from {DEFAULT_WEB_PORT} on.")


def _listen(port: int) -> socket.socket | None:
    try:
        return socket.create_server((HOST, port))
    except OSError:
        return None


def is_free(port: int) -> bool:
    """Whether nothing listens on the loopback `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def write_private(path: Path, text: str) -> None:
    """Replace `path` atomically with a file only its owner can read."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
    temporary.replace(path)
