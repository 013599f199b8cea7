"""The product's own processes and the simulators around it."""

import hashlib
import http.client
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deploy.stack.layout import HOST, ROOT, Layout, Ports, web_socket, write_private
from deploy.stack.process import Service
from deploy.stack.servers import Servers

# As many as the large demo has, at the addresses it gives them: a board that is missing would leave its carts dead.
BOARDS = tuple(f"kerong-cu16:{address}" for address in range(4))
SERIAL_PORT = "/dev/ttyUSB0"
PI_MAC, PI_SERIAL = "02:00:00:00:00:01", "SIMULATED-1"
DEMO_BRANCH, DEMO_DEVICE = "BRANCH-001", "demo-pi"
SMS_ENVIRONMENT = {
    "SMS_GATEWAY": "inforu",
    "SMS_USER": "cartwise",
    "SMS_API_KEY": "simulated",
    "SMS_SENDER": "CartWise",
}
GOOGLE_ENVIRONMENT = {"GOOGLE_CLIENT_ID": "cartwise", "GOOGLE_CLIENT_SECRET": "simulated"}


@dataclass(frozen=True)
class Application:
    """Where the processes of one stack listen, and what they are told."""

    layout: Layout
    web_socket: socket.socket
    sms_port: int
    mail_port: int
    smtp_port: int
    google_port: int
    rs485_port: int
    environment: dict[str, str]
    # What migrates is told this instead: the address of the role that owns the tables.
    as_owner: dict[str, str]

    @classmethod
    def plan(cls, layout: Layout, servers: Servers, given: Mapping[str, str]) -> "Application":
        ports = Ports(layout.ports_file)
        web, sms, rs485 = web_socket(given), ports.reserve("sms"), ports.reserve("rs485")
        mail, smtp, google = ports.reserve("mail"), ports.reserve("smtp"), ports.reserve("google")
        own = {
            **SMS_ENVIRONMENT,
            "SMS_BASE_URL": f"http://{HOST}:{sms}",
            "EMAIL_HOST": HOST,
            "EMAIL_PORT": str(smtp),
            "PUBLIC_URL": f"http://{HOST}:{web.getsockname()[1]}",
            "ALLOWED_HOSTS": f"{HOST},localhost",
            "VAR_DIR": str(layout.var),
        }
        if not given.get("GOOGLE_CLIENT_ID"):  # else it is the real one
            own |= GOOGLE_ENVIRONMENT | _google_addresses(f"http://{HOST}:{google}")
        environment = servers.environment(given) | {name: given.get(name) or value for name, value in own.items()}
        # Given relative to the project, needed by processes that run elsewhere.
        environment["VAR_DIR"] = own["VAR_DIR"]
        as_owner: dict[str, str] = {}
        if servers.cluster is not None:
            as_owner["DATABASE_URL"] = servers.cluster.url
            environment["DATABASE_URL"] = servers.cluster.app_url
        return cls(
            layout=layout,
            web_socket=web,
            sms_port=sms,
            mail_port=mail,
            smtp_port=smtp,
            google_port=google,
            rs485_port=rs485,
            environment=environment,
            as_owner=as_owner,
        )

    @property
    def web_port(self) -> int:
        return int(self.web_socket.getsockname()[1])

    @property
    def web_url(self) -> str:
        return f"http://{HOST}:{self.web_port}"

    def description(self) -> dict[str, object]:
        """What `run.json` says about this stack."""
        return {
            "web": self.web_url,
            "mqtt": {
                "host": self.environment["MQTT_PUBLIC_HOST"],
                "port": int(self.environment["MQTT_PUBLIC_PORT"]),
                "tls": self.environment["MQTT_PUBLIC_TLS"] == "1",
            },
            "simulators": {
                "sms": f"http://{HOST}:{self.sms_port}",
                "mail": f"http://{HOST}:{self.mail_port}",
                "google": f"http://{HOST}:{self.google_port}",
                "rs485": {"http": f"http://{HOST}:{self.rs485_port}", "pty": str(self.layout.rs485_pty)},
            },
            "database_url": self._known("DATABASE_URL"),
            "redis_url": self._known("REDIS_URL"),
            "pid": os.getpid(),
            "environment": self.environment,
            "as_owner": self.as_owner,
        }

    def web(self) -> Service:
        listener = self.web_socket.fileno()
        command = (sys.executable, "-m", "deploy.stack.web", "--fd", str(listener))
        web = self._django("web", command, ready=lambda: self._health() is not None)
        return replace(web, inherited=(listener,))

    def bridge(self) -> Service:
        """Ready once it speaks to the broker: a Pi that comes earlier is turned away."""
        return self._django("bridge", (sys.executable, "manage.py", "run_mqtt_bridge"), ready=self._broker_is_reached)

    def background(self) -> list[Service]:
        celery = (sys.executable, "-m", "celery", "-A", "config")
        schedule = ("--scheduler", "django_celery_beat.schedulers:DatabaseScheduler", "--pidfile=")
        return [
            self._django("worker", (*celery, "worker", "--concurrency", "2", "--loglevel", "WARNING")),
            self._django("beat", (*celery, "beat", "--loglevel", "WARNING", *schedule)),
        ]

    def simulators(self) -> list[Service]:
        boards = tuple(word for board in BOARDS for word in ("--board", board))
        return [
            self._simulator("sms", self.sms_port),
            self._simulator("mail", self.mail_port, "--smtp", f"{HOST}:{self.smtp_port}"),
            self._simulator("google", self.google_port),
            self._simulator("rs485", self.rs485_port, "--link", str(self.layout.rs485_pty), *boards),
        ]

    def _simulator(self, name: str, http_port: int, *arguments: str) -> Service:
        ready = self.layout.var / f"{name}.ready"
        listening = ("--http", f"{HOST}:{http_port}", "--ready-file", str(ready))
        return Service(
            name=name,
            command=(sys.executable, "-m", f"simulators.{name}", *listening, *arguments),
            ready_file=ready,
        )

    def simulated_pi(self) -> Service:
        configuration = self.layout.pi / "config.json"
        return Service(name="pi", command=(sys.executable, "-m", "pi_client", "--config", str(configuration)))

    def prepare(self, *, enrol: bool) -> Service:
        """Migrate, seed, print the addresses; the answers are for `take_prepared`."""
        command: tuple[str, ...] = (sys.executable, "-m", "deploy.stack.prepare", "--base-url", self.web_url)
        command += ("--result", str(self._prepared_file)) + (("--enrol", DEMO_BRANCH, DEMO_DEVICE) if enrol else ())
        prepare = self._django("prepare", command, ready_within=180.0)
        return replace(prepare, environment={**prepare.environment, **self.as_owner}, once=True)

    def take_prepared(self) -> dict[str, Any]:
        """What `prepare` answered. Its file holds sign-in links and does not stay."""
        prepared: dict[str, Any] = json.loads(self._prepared_file.read_text())
        self._prepared_file.unlink()
        self._schema_file.write_text(self._schema())
        return prepared

    def schema_is_current(self) -> bool:
        """Whether this database had these very migrations last time: then nothing has to wait for `prepare`."""
        return self._schema_file.exists() and self._schema_file.read_text() == self._schema()

    def _schema(self) -> str:
        migrations = "\n".join(sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("*/migrations/*.py")))
        known = f"{migrations}\n{(ROOT / 'requirements.txt').read_text()}\n{self._known('DATABASE_URL')}"
        return hashlib.sha256(known.encode()).hexdigest()

    @property
    def _prepared_file(self) -> Path:
        return self.layout.var / "prepared.json"

    @property
    def _schema_file(self) -> Path:
        return self.layout.var / "schema"

    def write_pi_configuration(self, enrolment_code: str) -> None:
        """The code is for a Pi that is refused, because another took its place meanwhile; otherwise its token lasts."""
        configuration = {
            "api_url": self.web_url,
            "branch_code": DEMO_BRANCH,
            "enrolment_code": enrolment_code,
            "mac_address": PI_MAC,
            "serial_number": PI_SERIAL,
            "state_dir": "state",
            "port_overrides": {SERIAL_PORT: str(self.layout.rs485_pty)},
        }
        write_private(self.layout.pi / "config.json", json.dumps(configuration, indent=1))
        identity = self.layout.pi / "state" / "device.json"
        if identity.exists():
            mqtt = json.loads(identity.read_text())["mqtt_config"]
            if f"{mqtt['broker']}:{mqtt['port']}" != self._public_broker:
                identity.unlink()  # its broker is gone, and nobody would refuse it there

    @property
    def _public_broker(self) -> str:
        return f"{self.environment['MQTT_PUBLIC_HOST']}:{self.environment['MQTT_PUBLIC_PORT']}"

    def _django(
        self,
        name: str,
        command: tuple[str, ...],
        *,
        ready: Callable[[], bool] | None = None,
        ready_within: float = 60.0,
    ) -> Service:
        environment = {**self.environment, "PROCESS_NAME": name}
        return Service(name=name, command=command, environment=environment, ready=ready, ready_within=ready_within)

    def _broker_is_reached(self) -> bool:
        health = self._health()
        return health is not None and health["components"]["broker"]["status"] == "ok"

    def _health(self) -> dict[str, Any] | None:
        """What the web process says about the stack; None while it says nothing."""
        # The port listens before the web process does: a short wait, or a signal would go unheard.
        connection = http.client.HTTPConnection(HOST, self.web_port, timeout=3)
        try:
            connection.request("GET", "/healthz")
            health: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return health

    def _known(self, name: str) -> str:
        return self.environment.get(name) or os.environ[name]


def _google_addresses(url: str) -> dict[str, str]:
    return {
        "GOOGLE_AUTHORIZE_URL": f"{url}/authorize",
        "GOOGLE_TOKEN_URL": f"{url}/token",
        "GOOGLE_CERTS_URL": f"{url}/certs",
        "GOOGLE_ISSUER": url,
    }
