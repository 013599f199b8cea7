"""A Pi written by a stranger: bare HTTP and MQTT, everything it knows taken from the two published documents.

Nothing of `pi_client` or of the product is imported here.
"""

import json
import queue
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import paho.mqtt.client as mqtt
import yaml
from paho.mqtt.enums import CallbackAPIVersion

DOCUMENTS = Path(__file__).resolve().parents[2] / "docs" / "protocol"
WAIT_S = 10.0


class Documents:
    """AsyncAPI and OpenAPI, as published."""

    def __init__(self) -> None:
        self.asyncapi = yaml.safe_load((DOCUMENTS / "asyncapi.yaml").read_text())
        self.openapi = yaml.safe_load((DOCUMENTS / "openapi.yaml").read_text())

    def topic(self, channel: str, **parameters: object) -> str:
        return self.asyncapi["channels"][channel]["address"].format(**parameters)

    def check(self, message: str, body: dict[str, Any]) -> dict[str, Any]:
        """The body, when the document allows it."""
        payload = self.asyncapi["components"]["messages"][message]["payload"]
        schema = payload.get("schema", payload)
        document = {**self.asyncapi, **schema} if "$ref" in schema else schema
        jsonschema.validate(body, document)
        return body

    def path(self, operation_id: str, **parameters: object) -> str:
        """Where an operation is called."""
        for path, methods in self.openapi["paths"].items():
            for operation in methods.values():
                if isinstance(operation, dict) and operation.get("operationId") == operation_id:
                    return path.format(**parameters)
        raise KeyError(operation_id)


class BareDevice:
    """Registers, says it lives, connects, and answers unlocks as its owner tells it to."""

    def __init__(self, web: str, documents: Documents) -> None:
        self.documents = documents
        self.http = httpx.Client(base_url=web, timeout=WAIT_S)
        self.commands: queue.Queue[tuple[str, bool, dict[str, Any]]] = queue.Queue()
        self.granted: queue.Queue[list[Any]] = queue.Queue()
        self.boot_id, self.connection_id = uuid.uuid4(), uuid.uuid4()
        self.seq = int(datetime.now(UTC).timestamp() * 1000)

    def register(self, *, branch_code: str, enrolment_code: str, mac_address: str) -> httpx.Response:
        body = {
            "mac_address": mac_address,
            "serial_number": "STRANGER-1",
            "branch_code": branch_code,
            "enrolment_code": enrolment_code,
        }
        answer = self.http.post(self.documents.path("device_register"), json=body)
        if answer.status_code == 201:
            self.given = answer.json()
            self.device_id = self.given["device_id"]
            self.http.headers["Authorization"] = f"Bearer {self.given['device_token']}"
            _, self.chain, self.branch, *_ = self.given["mqtt_config"]["topic"].split("/")
        return answer

    def heartbeat(self) -> dict[str, Any]:
        body = {"sent_at": _now(), "boot_id": str(self.boot_id), "uptime_s": 1, "firmware_version": "stranger-1"}
        path = self.documents.path("device_heartbeat", device_id=self.device_id)
        answer = self.http.post(path, json=body)
        answer.raise_for_status()
        return dict(answer.json())

    def connect(self) -> None:
        """Connect, subscribe as the document says, publish the birth, then the state of every cart."""
        config = self.given["mqtt_config"]
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=config["client_id"], clean_session=True)
        self.mqtt.username_pw_set(config["username"], self.given["device_token"])
        self.mqtt.will_set(self._status_topic(), json.dumps(self._presence("offline")), qos=1)
        self.mqtt.on_message = self._on_message
        self.mqtt.on_subscribe = lambda client, userdata, mid, codes, properties: self.granted.put(codes)
        self.mqtt.connect(config["broker"], config["port"], keepalive=30)
        self.mqtt.loop_start()
        for filters in self._filters():
            self.mqtt.subscribe([(topic, 1) for topic in filters])
            assert not any(code.is_failure for code in self.granted.get(timeout=WAIT_S))
        self._publish(self._status_topic(), self._presence("online"))
        for cart in self.given["config"]["carts"]:
            self.report(cart["id"], lock="locked", present=True)

    def close(self) -> None:
        if hasattr(self, "mqtt"):
            self.mqtt.disconnect()
            self.mqtt.loop_stop()
        self.http.close()

    def next_command(self) -> tuple[str, bool, dict[str, Any]]:
        """(topic, retained, command) of the next one, checked against the document."""
        topic, retained, command = self.commands.get(timeout=WAIT_S)
        return topic, retained, self.documents.check("Command", command)

    def answer(self, cart_id: str, command: dict[str, Any], outcome: str, **seen: Any) -> dict[str, Any]:
        """Publish a result for a command; answers the body, so that a test can send it again."""
        body = self._result(command["command_id"], outcome=outcome, **seen)
        self._publish(self._cart_topic("cartStatus", cart_id), body)
        return body

    def report(self, cart_id: str, *, lock: str, present: bool) -> None:
        """Tell a cart's state unasked."""
        self._publish(self._cart_topic("cartStatus", cart_id), self._result(None, lock=lock, present=present))

    def send_again(self, cart_id: str, body: dict[str, Any]) -> None:
        """The same message once more, as after a lost acknowledgement."""
        self._publish(self._cart_topic("cartStatus", cart_id), body)

    def send_raw(self, cart_id: str, payload: bytes) -> None:
        """Anything at all."""
        self.mqtt.publish(self._cart_topic("cartStatus", cart_id), payload, qos=1).wait_for_publish(WAIT_S)

    def _filters(self) -> list[list[str]]:
        topics = [self.documents.topic("deviceCommands", **self._place(), device_id=self.device_id)]
        for cart in self.given["config"]["carts"]:
            topics += [self._cart_topic("cartUnlock", cart["id"]), self._cart_topic("cartLock", cart["id"])]
        return [topics[i : i + 8] for i in range(0, len(topics), 8)]

    def _result(self, command_id: str | None, **fields: Any) -> dict[str, Any]:
        body = {**_envelope(), "command_id": command_id, **fields}
        if "lock" in fields:
            self.seq += 1
            body["seq"] = self.seq
        return self.documents.check("Result", body)

    def _presence(self, state: str) -> dict[str, Any]:
        body = {
            **_envelope(),
            "state": state,
            "connection_id": str(self.connection_id),
            "boot_id": str(self.boot_id),
            "firmware_version": "stranger-1",
        }
        return self.documents.check("Presence", body)

    def _publish(self, topic: str, body: dict[str, Any]) -> None:
        self.mqtt.publish(topic, json.dumps(body), qos=1).wait_for_publish(WAIT_S)

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        self.commands.put((message.topic, message.retain, json.loads(message.payload)))

    def _status_topic(self) -> str:
        return self.documents.topic("deviceStatus", **self._place(), device_id=self.device_id)

    def _cart_topic(self, channel: str, cart_id: str) -> str:
        return self.documents.topic(channel, **self._place(), cart_id=cart_id)

    def _place(self) -> dict[str, str]:
        return {"chain": self.chain, "branch": self.branch}


def _envelope() -> dict[str, Any]:
    return {"v": 1, "message_id": str(uuid.uuid4()), "sent_at": _now()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
