"""The MQTT broker: Mosquitto where it is installed, otherwise the amended amqtt of `mqtt_broker`.

Both keep accounts and rights in one file of Mosquitto's dynamic-security format and take the same commands on
`$CONTROL/dynamic-security/v1`, so that the product has one way to provision a device. Source of the format:
mosquitto 2.0 `plugins/dynamic-security`.
"""

import json
import os
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.stack.layout import HOST, write_private
from deploy.stack.process import Service
from deploy.stack.rights import hash_password

ADMIN, BRIDGE = "admin", "bridge"
CONTROL_TOPIC = "$CONTROL/dynamic-security/v1"
MAX_PACKET_BYTES = 256 * 1024
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/opt/homebrew/sbin", "/usr/local/opt/mosquitto/sbin")
PLUGINS = ("/usr/lib/*", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib")


@dataclass(frozen=True)
class Mosquitto:
    """A Mosquitto that can be used: its binary and the dynamic-security plugin."""

    binary: Path
    plugin: Path


@dataclass(frozen=True)
class Broker:
    """One broker, its folder and the passwords of its two own accounts. `mosquitto` None means amqtt."""

    home: Path
    port: int
    admin_password: str
    bridge_password: str
    mosquitto: Mosquitto | None

    @property
    def url(self) -> str:
        """The bridge's address."""
        return f"mqtt://{BRIDGE}:{self.bridge_password}@{HOST}:{self.port}"

    @property
    def admin_url(self) -> str:
        """The address of the account that may provision others, and nothing else."""
        return f"mqtt://{ADMIN}:{self.admin_password}@{HOST}:{self.port}"

    def service(self) -> Service:
        self.home.mkdir(parents=True, exist_ok=True)
        rights = self.home / "dynamic-security.json"
        if not rights.exists():
            write_private(rights, json.dumps(self._first_rights(), indent=1))
        if self.mosquitto is None:
            command: tuple[str, ...] = (
                sys.executable,
                "-m",
                "deploy.stack.mqtt_broker",
                "--port",
                str(self.port),
                "--rights",
                str(rights),
            )
        else:
            configuration = self.home / "mosquitto.conf"
            write_private(configuration, self._configuration(self.mosquitto, rights))
            command = (str(self.mosquitto.binary), "-c", str(configuration))
        return Service(name="broker", command=command, ready=self._is_ready)

    def _configuration(self, mosquitto: Mosquitto, rights: Path) -> str:
        lines = [
            "per_listener_settings false",
            f"listener {self.port} {HOST}",
            "allow_anonymous false",
            "set_tcp_nodelay true",
            "max_queued_messages 100000",
            f"max_packet_size {MAX_PACKET_BYTES}",
            "persistence true",
            f"persistence_location {self.home}/",
            f"plugin {mosquitto.plugin}",
            f"plugin_opt_config_file {rights}",
            "log_dest stderr",
            "log_type error",
            "log_type warning",
        ]
        if os.geteuid() == 0:
            # Otherwise it drops to an account that may not read or write below VAR_DIR.
            lines.append("user root")
        return "\n".join(lines) + "\n"

    def _first_rights(self) -> dict[str, object]:
        control = "$CONTROL/dynamic-security/#"
        return {
            "defaultACLAccess": {
                "publishClientSend": False,
                "publishClientReceive": False,
                "subscribe": False,
                "unsubscribe": True,
            },
            "clients": [
                _client(ADMIN, self.admin_password, role="admin"),
                _client(BRIDGE, self.bridge_password, role="bridge"),
            ],
            "groups": [],
            "roles": [
                _role("admin", send=control, receive=control, subscribe=(control,)),
                _role(
                    "bridge", send="cartwise/#", receive="cartwise/#", subscribe=("cartwise/#", "$share/+/cartwise/#")
                ),
            ],
        }

    def _is_ready(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True


def find_mosquitto() -> Mosquitto | None:
    """The installed Mosquitto, or None when the binary or its plugin is missing."""
    binary = shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), *SBIN]))
    if binary is None:
        return None
    folders = [str(Path(binary).resolve().parents[1] / "lib"), *PLUGINS]
    for folder in folders:
        for plugin in sorted(Path("/").glob(f"{folder.lstrip('/')}/mosquitto_dynamic_security.so")):
            return Mosquitto(binary=Path(binary), plugin=plugin)
    return None


def _client(username: str, password: str, *, role: str) -> dict[str, object]:
    return {"username": username, "roles": [{"rolename": role}], **hash_password(password)}


def _role(name: str, *, send: str, receive: str, subscribe: tuple[str, ...]) -> dict[str, object]:
    acls = [("publishClientSend", send), ("publishClientReceive", receive)]
    acls += [("subscribePattern", pattern) for pattern in subscribe]
    return {
        "rolename": name,
        "acls": [{"acltype": acltype, "topic": topic, "priority": 0, "allow": True} for acltype, topic in acls],
    }
