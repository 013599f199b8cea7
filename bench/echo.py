"""A bare MQTT round trip through the stack's broker: command and echo, QoS 1, TCP_NODELAY, nothing else."""

import threading
import time
from types import TracebackType
from typing import Any

import paho.mqtt.client as mqtt

from devices.mqtt.connection import client_from_url

COMMAND, ANSWER = "cartwise/bench/commands", "cartwise/bench/status"
PAYLOAD = b"x" * 256
ANSWER_WITHIN_S = 10.0


class EchoPair:
    """Two clients on the bridge's account: one asks, the other echoes from its network thread."""

    def __init__(self, url: str) -> None:
        self._answered = threading.Semaphore(0)
        self._asker = _connect(url, "bench-asker", ANSWER)
        self._echoer = _connect(url, "bench-echoer", COMMAND)
        self._asker.on_message = lambda *_: self._answered.release()
        self._echoer.on_message = _echo

    def __enter__(self) -> "EchoPair":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in (self._asker, self._echoer):
            client.disconnect()
            client.loop_stop()

    def measure(self, count: int) -> list[float]:
        """Milliseconds of `count` round trips, one after the other."""
        times = []
        for _ in range(count):
            began = time.perf_counter()
            self._asker.publish(COMMAND, PAYLOAD, qos=1)
            if not self._answered.acquire(timeout=ANSWER_WITHIN_S):
                raise TimeoutError("no echo")
            times.append((time.perf_counter() - began) * 1000)
        return times


def _echo(client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
    client.publish(ANSWER, message.payload, qos=1)


def _connect(url: str, client_id: str, topic: str) -> mqtt.Client:
    subscribed = threading.Event()
    client, host, port = client_from_url(url, client_id, clean_session=True)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(host, port)
    client.loop_start()
    client.subscribe(topic, qos=1)
    if not subscribed.wait(ANSWER_WITHIN_S):
        raise TimeoutError(f"{client_id} could not subscribe")
    return client
