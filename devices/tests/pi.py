"""A Pi written by nobody here: a bare MQTT client that knows the published contract."""

import json
import queue
import threading
from typing import Any
from uuid import UUID, uuid4

import paho.mqtt.client as mqtt

from devices.models import Device
from devices.tests.messages import birth, cart_topic, device_topic, message, will

DEADLINE_S = 10.0


class FakePi:
    """Connects as a device with its token, tells its birth, keeps what it receives."""

    def __init__(self, device: Device, token: str, host: str, port: int, *, reconnect: bool = False) -> None:
        self.device = device
        self.connection_id = uuid4()
        self.received: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self.ended = threading.Event()
        self._connected: queue.Queue[bool] = queue.Queue()
        self._granted: queue.Queue[bool] = queue.Queue()
        self._client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=str(device.pk), clean_session=True, reconnect_on_failure=False
        )
        self._client.username_pw_set(str(device.pk), token)
        self._client.will_set(device_topic(device), will(self.connection_id), qos=1)
        self._client.on_connect = lambda client, data, flags, reason, props: self._connected.put(not reason.is_failure)
        self._client.on_disconnect = lambda *_: self.ended.set()
        self._client.on_message = lambda client, data, received: self.received.put(received)
        self._client.on_subscribe = lambda client, data, mid, reasons, props: self._granted.put(
            not reasons[0].is_failure
        )
        self._client.connect(host, port, keepalive=30)
        self._client.loop_start()
        self.admitted = self._connected.get(timeout=DEADLINE_S)

    def subscribe(self, topic: str) -> bool:
        """Whether the broker granted it."""
        self._client.subscribe(topic, qos=1)
        return self._granted.get(timeout=DEADLINE_S)

    def publish(self, topic: str, payload: bytes) -> None:
        """Returns when the broker has taken it, which says nothing about what it did with it."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(DEADLINE_S)

    def serve(self, *cart_ids: UUID) -> None:
        """Listen for its carts' and its own commands, then tell its birth."""
        for cart_id in cart_ids:
            assert self.subscribe(cart_topic(self.device, cart_id, "unlock"))
            assert self.subscribe(cart_topic(self.device, cart_id, "lock"))
        assert self.subscribe(device_topic(self.device, "commands"))
        self.publish(device_topic(self.device), birth(self.connection_id))

    def next_command(self, timeout: float = DEADLINE_S) -> dict[str, Any]:
        """The next command that comes: its JSON and the topic and flag it came with."""
        received = self.received.get(timeout=timeout)
        return {**json.loads(received.payload), "topic": received.topic, "retained": received.retain}

    def answer(self, command: dict[str, Any], outcome: str, **fields: Any) -> None:
        topic = f"{command['topic'].rpartition('/')[0]}/status"
        self.publish(topic, message(command_id=command["command_id"], outcome=outcome, **fields))

    def lose_line(self) -> None:
        """End without a word, as a power cut would: the broker tells the will."""
        self._client.loop_stop()
        sock = self._client.socket()
        assert sock is not None
        sock.close()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
