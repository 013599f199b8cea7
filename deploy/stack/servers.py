"""PostgreSQL, Valkey and the MQTT broker of one stack, and the environment that tells every process where they are.

A server whose address is already in the environment (`DATABASE_URL`, `REDIS_URL`, `CELERY_BROKER_URL`, `MQTT_URL`) is
not started.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from deploy.stack.broker import Broker, find_mosquitto
from deploy.stack.layout import Layout, Ports, Secrets
from deploy.stack.postgres import APPLICATION, Cluster
from deploy.stack.process import Service
from deploy.stack.valkey import Valkey


@dataclass(frozen=True)
class Servers:
    """The embedded servers; None for one that is somebody else's."""

    cluster: Cluster | None
    valkey: Valkey | None
    broker: Broker | None
    secrets: Secrets

    @classmethod
    def plan(
        cls,
        layout: Layout,
        environment: Mapping[str, str],
        *,
        postgres_settings: Mapping[str, str] | None = None,
    ) -> "Servers":
        """Choose ports and passwords; starts nothing. `MQTT_BROKER=amqtt` passes over an installed Mosquitto."""
        secrets, ports = Secrets.load(layout.secrets_file), Ports(layout.ports_file)
        cluster = valkey = broker = None
        if not environment.get("DATABASE_URL"):
            cluster = Cluster.at(
                layout.var,
                port=ports.reserve("postgres"),
                superuser_password=secrets.postgres_password,
                password=secrets.database_password,
                app_password=secrets.database_app_password,
                settings=postgres_settings,
            )
        if not environment.get("REDIS_URL") or not environment.get("CELERY_BROKER_URL"):
            valkey = Valkey(home=layout.var / "valkey", port=ports.reserve("valkey"), password=secrets.redis_password)
        if not environment.get("MQTT_URL"):
            broker = Broker(
                home=layout.var / "broker",
                port=ports.reserve("broker"),
                admin_password=secrets.mqtt_admin_password,
                bridge_password=secrets.mqtt_bridge_password,
                mosquitto=None if environment.get("MQTT_BROKER") == "amqtt" else find_mosquitto(),
            )
        return cls(cluster, valkey, broker, secrets)

    def create_database(self) -> bool:
        """The database and both roles, where they are missing. True for a database that was never prepared."""
        if self.cluster is None:
            return False
        new = self.cluster.create_database()
        self.cluster.create_application_role()
        return new

    def services(self) -> list[Service]:
        """What to start. PostgreSQL's data folder is made here when it is missing."""
        return [server.service() for server in (self.cluster, self.valkey, self.broker) if server is not None]

    def environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Addresses and secrets for Django; what is in `given` stays as it is.

        The database's address is the owner's, as for a migration; `Application` gives its processes the other.
        """
        chosen = {
            "SECRET_KEY": self.secrets.secret_key,
            "JWT_KEYS": json.dumps({"stack": self.secrets.jwt_key}),
            "FIELD_KEYS": json.dumps({"stack": self.secrets.field_key}),
            "ENVIRONMENT": "development",
            "DEBUG": "0",
        }
        if self.cluster is not None:
            chosen |= {"DATABASE_URL": self.cluster.url, "DATABASE_APP_ROLE": APPLICATION}
        if self.valkey is not None:
            chosen |= {"REDIS_URL": self.valkey.url(0), "CELERY_BROKER_URL": self.valkey.url(1)}
        if self.broker is not None:
            chosen |= {"MQTT_URL": self.broker.url, "MQTT_ADMIN_URL": self.broker.admin_url}
        chosen = {name: given.get(name) or value for name, value in chosen.items()}
        address = urlsplit(chosen.get("MQTT_URL") or given["MQTT_URL"])
        tls = address.scheme == "mqtts"
        public = {
            "MQTT_PUBLIC_HOST": address.hostname or "",
            "MQTT_PUBLIC_PORT": str(address.port or (8883 if tls else 1883)),
            "MQTT_PUBLIC_TLS": str(int(tls)),
        }
        return chosen | {name: given.get(name) or value for name, value in public.items()}
