"""MQTT through paho: a new client for each connection, since the last will and the connection's id are new."""

import logging
import socket
import threading
from collections.abc import Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from ..ports import BrokerListener, BrokerUnreachable, CredentialsRefused, MqttSettings

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_S = 30
FILTERS_PER_SUBSCRIBE = 8  # AWS IoT Core's limit
# CONNACK of MQTT 3.1.1: 2 identifier rejected, 4 bad user name or password, 5 not authorised; paho maps them to these.
_REFUSALS = {"Client identifier not valid", "Bad user name or password", "Not authorized", "Banned"}


class PahoBroker:
    """Implements ports.Broker."""

    def __init__(self, *, ca_file: str | None = None, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> None:
        self._ca_file = ca_file
        self._timeout = connect_timeout_s

    def connect(
        self, settings: MqttSettings, *, password: str, will: tuple[str, bytes], listener: BrokerListener
    ) -> "PahoConnection":
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=settings.client_id, clean_session=True, reconnect_on_failure=False
        )
        client.username_pw_set(settings.username, password)
        client.will_set(will[0], will[1], qos=1, retain=False)
        client.connect_timeout = self._timeout
        client.max_inflight_messages_set(100)
        client.max_queued_messages_set(1000)
        if settings.tls:
            client.tls_set(ca_certs=self._ca_file)
        connection = PahoConnection(client, listener, self._timeout)
        connection.open(settings)
        return connection


class PahoConnection:
    """Implements ports.BrokerConnection; safe from any thread but the network thread's callbacks."""

    def __init__(self, client: paho.Client, listener: BrokerListener, timeout_s: float) -> None:
        self._client = client
        self._listener = listener
        self._timeout = timeout_s
        self._answered = threading.Event()
        self._refusal: ReasonCode | None = None
        self._up = False
        self._granted: dict[int, list[ReasonCode]] = {}
        self._granted_changed = threading.Condition()
        client.on_socket_open = _no_delay
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe

    def open(self, settings: MqttSettings) -> None:
        """Connect and wait for CONNACK. Raises BrokerUnreachable or CredentialsRefused."""
        try:
            self._client.connect(settings.broker, settings.port, keepalive=KEEPALIVE_S)
        except (OSError, ValueError) as error:
            raise BrokerUnreachable(f"{settings.broker}:{settings.port}: {error}") from error
        self._client.loop_start()
        if self._answered.wait(self._timeout) and self._up:
            return
        refusal = self._refusal
        self.close()
        if refusal is not None and refusal.getName() in _REFUSALS:
            raise CredentialsRefused(f"broker: {refusal.getName()}")
        raise BrokerUnreachable(f"broker: {refusal.getName() if refusal is not None else 'no CONNACK'}")

    def publish(self, topic: str, payload: bytes) -> int | None:
        if not self._up:
            return None
        try:
            info = self._client.publish(topic, payload, qos=1)
        except (OSError, ValueError) as error:
            log.debug("publish on %s failed: %s", topic, error)
            return None
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def subscribe(self, filters: Sequence[str]) -> list[str]:
        denied: list[str] = []
        for start in range(0, len(filters), FILTERS_PER_SUBSCRIBE):
            part = filters[start : start + FILTERS_PER_SUBSCRIBE]
            result, number = self._client.subscribe([(name, 1) for name in part])
            if result != MQTTErrorCode.MQTT_ERR_SUCCESS or number is None:
                raise BrokerUnreachable("connection lost while subscribing")
            codes = self._wait_granted(number)
            denied += [name for name, code in zip(part, codes, strict=False) if code.value != 1]
        return denied

    def _wait_granted(self, number: int) -> list[ReasonCode]:
        with self._granted_changed:
            if not self._granted_changed.wait_for(lambda: number in self._granted or not self._up, self._timeout):
                raise BrokerUnreachable("no SUBACK")
            if number not in self._granted:
                raise BrokerUnreachable("connection lost while subscribing")
            return self._granted.pop(number)

    def unsubscribe(self, filters: Sequence[str]) -> None:
        for start in range(0, len(filters), FILTERS_PER_SUBSCRIBE):
            self._client.unsubscribe(list(filters[start : start + FILTERS_PER_SUBSCRIBE]))

    def close(self) -> None:
        self._up = False
        self._client.disconnect()
        self._client.loop_stop()

    # Network thread

    def _on_connect(self, _client: Any, _userdata: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        self._up = not code.is_failure
        self._refusal = code if code.is_failure else None
        self._answered.set()

    def _on_disconnect(self, _client: Any, _userdata: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        was_up, self._up = self._up, False
        self._answered.set()
        with self._granted_changed:
            self._granted_changed.notify_all()
        if was_up:
            self._listener.on_lost(code.getName())

    def _on_message(self, _client: Any, _userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        self._listener.on_message(topic, bytes(message.payload), message.retain)

    def _on_publish(self, _client: Any, _userdata: Any, number: int, _code: Any, _properties: Any) -> None:
        self._listener.on_published(number)

    def _on_subscribe(
        self, _client: Any, _userdata: Any, number: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        with self._granted_changed:
            self._granted[number] = codes
            self._granted_changed.notify_all()


def _no_delay(_client: Any, _userdata: Any, connection: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
