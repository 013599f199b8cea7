"""Requests to the broker's dynamic-security plugin and their answers."""

import json
import queue
import threading
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import paho.mqtt.client as mqtt

from devices.mqtt.connection import client_from_url

REQUEST = "$CONTROL/dynamic-security/v1"
RESPONSE = f"{REQUEST}/response"
ANSWER_TIMEOUT_S = 5.0


class ControlError(Exception):
    """The broker refused a command or did not answer."""


class BrokerSilent(ControlError):
    """The broker did not answer: whatever else would be asked has to wait as well."""


class ControlChannel:
    """One admin connection. Everybody on the response topic sees every answer, so each request carries its own mark.

    Used by one thread at a time.
    """

    def __init__(self, url: str) -> None:
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue(maxsize=1000)
        self._ready = threading.Event()
        self._client, self._host, self._port = client_from_url(url, f"admin-{uuid4().hex[:12]}", clean_session=True)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_disconnect = lambda *_: self._ready.clear()
        self._client.on_message = self._on_message

    def start(self) -> None:
        """Connect in the background, now and whenever the line is lost."""
        self._client.connect_async(self._host, self._port, keepalive=30)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def run(self, commands: Sequence[dict[str, Any]], *, tolerate: str = "") -> bool:
        """Send commands as one batch; True when one failed with the tolerated error. Raises `ControlError`."""
        tolerated = False
        for answer in self._ask(commands):
            error = answer.get("error")
            if error and not (tolerate and tolerate in error.lower()):
                raise ControlError(f"{answer.get('command')}: {error}")
            tolerated |= bool(error)
        return tolerated

    def usernames(self) -> set[str]:
        """Every client the broker knows. Raises `ControlError`."""
        [answer] = self._ask([{"command": "listClients", "verbose": False}])
        if "data" not in answer:
            raise ControlError(f"listClients: {answer.get('error', 'an answer without data')}")
        return {
            client if isinstance(client, str) else client["username"] for client in answer["data"].get("clients", [])
        }

    def _ask(self, commands: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        if not self._ready.wait(ANSWER_TIMEOUT_S):
            raise BrokerSilent("no connection to the broker's control topic")
        mark = uuid4().hex
        marked = [{**command, "correlationData": f"{mark}-{i}"} for i, command in enumerate(commands)]
        self._client.publish(REQUEST, json.dumps({"commands": marked}), qos=1)
        answers: dict[str, dict[str, Any]] = {}
        while len(answers) < len(commands):
            try:
                answer = self._answers.get(timeout=ANSWER_TIMEOUT_S)
            except queue.Empty:
                raise BrokerSilent("the broker did not answer") from None
            if str(answer.get("correlationData", "")).startswith(mark):
                answers[answer["correlationData"]] = answer
        return [answers[f"{mark}-{i}"] for i in range(len(commands))]

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(RESPONSE, qos=1)

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        try:
            responses = json.loads(message.payload).get("responses", [])
        except (ValueError, AttributeError):
            return
        for response in responses:
            if not self._answers.full():
                self._answers.put(response)
