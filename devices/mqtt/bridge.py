"""The bridge process: wires MQTT, PostgreSQL's notifications and the services together.

Threads: paho's own loop (only enqueues), a few inbound workers (one source always on the same one, so that its messages
stay in order), one outbound loop woken by NOTIFY, one that notes what was sent, one for broker rights, one for signs of
life. A message is acknowledged to the broker after its transaction, so that a crash means it comes again. Two bridges
share the load through a shared subscription.
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import paho.mqtt.client as mqtt
import psycopg
from django.conf import settings
from django.db import InterfaceError, connection, connections
from django.db.utils import OperationalError

from core import health
from devices import notify, services
from devices.mqtt import inbound, outbound, rights
from devices.mqtt.connection import client_from_url
from devices.mqtt.control import ControlChannel, ControlError

logger = logging.getLogger(__name__)

SHARED = "$share/bridge/cartwise/+/+"
SUBSCRIPTIONS = [f"{SHARED}/devices/+/status", f"{SHARED}/devices/+/telemetry", f"{SHARED}/carts/+/status"]
INBOUND_WORKERS = 4
QUEUE_SIZE = 10_000
UNACKED = 16
TICK_S = 1.0
PULSE_EVERY_S = 10.0
SENT_NOTED_AFTER_S = 0.2
# A device that was revoked is off the broker within 60 s, also when nobody heard of it: this long and one full sync.
RIGHTS_EVERY_S = 30.0


class Bridge:
    """Runs until `stop`. Every part reconnects by itself; none of them stops the others."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self._inboxes: list[queue.Queue[mqtt.MQTTMessage]] = [queue.Queue(QUEUE_SIZE) for _ in range(INBOUND_WORKERS)]
        self._mids = threading.Lock()
        self._published: dict[int, UUID] = {}
        self._acked_early: set[int] = set()
        self._puback: queue.Queue[UUID] = queue.Queue(QUEUE_SIZE)
        self._rights_wanted: queue.Queue[UUID | None] = queue.Queue(QUEUE_SIZE)
        self._next_full_sync = 0.0
        self._id = settings.MQTT_BRIDGE_ID
        self._client, self._host, self._port = client_from_url(settings.MQTT_URL, self._id, clean_session=False)
        self._client.manual_ack_set(True)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish

    def run(self) -> None:
        """Start every thread and wait for `stop`."""
        threads = [threading.Thread(target=_alone, args=(self._work, inbox), name="inbound") for inbox in self._inboxes]
        threads += [
            threading.Thread(target=_alone, args=(loop,), name=loop.__name__)
            for loop in (self._listen, self._note_sent, self._keep_rights, self._pulse)
        ]
        for thread in threads:
            thread.start()
        self._client.connect_async(self._host, self._port, keepalive=30)
        self._client.loop_start()
        self.stopping.wait()
        self._client.disconnect()
        self._client.loop_stop()
        for thread in threads:
            thread.join(timeout=10)

    def stop(self) -> None:
        """Let every thread come to an end."""
        self.stopping.set()

    # MQTT callbacks: they only enqueue.

    def _on_connect(self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            logger.warning("the broker refused the bridge", extra={"reason": str(reason)})
            return
        logger.info("connected to the broker")
        client.subscribe([(topic, 1) for topic in SUBSCRIPTIONS])
        self._want_rights(None)

    def _on_disconnect(self, client: mqtt.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not self.stopping.is_set():
            logger.warning("lost the broker", extra={"reason": str(reason)})

    def _on_message(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        # The id is the fifth level; everything of one device or cart goes through one worker, in order.
        levels = message.topic.split("/")
        inbox = self._inboxes[hash(levels[4] if len(levels) > 4 else "") % INBOUND_WORKERS]
        try:
            inbox.put_nowait(message)
        except queue.Full:
            inbound.dropped["overflow"] += 1

    def _on_publish(self, client: mqtt.Client, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        with self._mids:
            command_id = self._published.pop(mid, None)
            if command_id is None:
                self._acked_early.add(mid)
        if command_id is not None:
            self._note_later(command_id)

    def _note_later(self, command_id: UUID) -> None:
        """When the queue is full the command is merely published again, which the device knows."""
        with contextlib.suppress(queue.Full):
            self._puback.put_nowait(command_id)

    # Threads.

    def _work(self, inbox: "queue.Queue[mqtt.MQTTMessage]") -> None:
        handled: list[mqtt.MQTTMessage] = []
        while not self.stopping.is_set():
            try:
                message = inbox.get_nowait() if handled else inbox.get(timeout=TICK_S)
                if self._with_database(lambda: inbound.handle(message.topic, bytes(message.payload)), again=True):  # noqa: B023
                    handled.append(message)
                if len(handled) < UNACKED:
                    continue
            except queue.Empty:
                pass
            # Only now that nothing waits: what is next is often the answer a customer is waiting for.
            for message in handled:
                self._client.ack(message.mid, message.qos)
            handled.clear()

    def _listen(self) -> None:
        """Publish commands as soon as their transaction has committed, and once a second what was left behind."""
        while not self.stopping.is_set():
            try:
                with psycopg.connect(**_listen_arguments(), autocommit=True) as listener:
                    listener.execute(f"LISTEN {notify.COMMANDS}")
                    listener.execute(f"LISTEN {notify.RIGHTS}")
                    self._outbound(listener)
            except psycopg.Error as error:
                logger.warning("lost the database's notifications", extra={"error": str(error)})
                self.stopping.wait(TICK_S)

    def _outbound(self, listener: "psycopg.Connection[Any]") -> None:
        while not self.stopping.is_set():
            for note in listener.notifies(timeout=TICK_S, stop_after=1):
                if note.channel == notify.RIGHTS:
                    self._want_rights(UUID(note.payload))
                elif self._client.is_connected():
                    self._send(UUID(note.payload))
            self._tick_if_due()

    _ticked = 0.0

    def _tick_if_due(self) -> None:
        if time.monotonic() - self._ticked < TICK_S:
            return
        self._ticked = time.monotonic()
        self._with_database(services.expire_overdue_commands)
        if self._client.is_connected():
            self._with_database(self._send_waiting)

    def _send_waiting(self) -> None:
        for command_id in outbound.waiting_commands():
            self._send(command_id)

    def _send(self, command_id: UUID) -> None:
        self._with_database(lambda: outbound.publish_command(command_id, self._publish))

    def _publish(self, topic: str, payload: bytes, command_id: UUID) -> bool:
        """False when there is no connection to publish on; the row is claimed again if it still lives.

        When the connection breaks on the way, paho sends the message again on the next one. The device's own look at
        the command's time, connection and id makes that harmless.
        """
        if not self._client.is_connected():
            return False
        info = self._client.publish(topic, payload, qos=1, retain=False)
        # The broker may have it before `publish` returns. No lock is held across that: paho calls back under its own.
        with self._mids:
            early = info.mid in self._acked_early
            self._acked_early.discard(info.mid)
            if not early:
                self._published[info.mid] = command_id
        if early:
            self._note_later(command_id)
        return True

    def _note_sent(self) -> None:
        """Note what the broker took, unless the device answers within a moment: its answer says more."""
        while not self.stopping.is_set():
            try:
                command_ids = [self._puback.get(timeout=TICK_S)]
            except queue.Empty:
                continue
            self.stopping.wait(SENT_NOTED_AFTER_S)
            with contextlib.suppress(queue.Empty):
                while True:
                    command_ids.append(self._puback.get_nowait())
            self._with_database(lambda: outbound.mark_sent(command_ids))  # noqa: B023

    def _keep_rights(self) -> None:
        """Bring the broker's accounts in line when told so, and all of them now and then."""
        if not settings.MQTT_ADMIN_URL:
            return  # a broker whose accounts somebody else keeps (AWS IoT Core)
        control = ControlChannel(settings.MQTT_ADMIN_URL)
        control.start()
        while not self.stopping.is_set():
            device_id = self._next_rights()
            if self.stopping.is_set():
                break
            try:
                done = self._with_database(lambda: self._sync_rights(device_id, control))  # noqa: B023
            except ControlError as error:
                logger.warning("broker rights not in line", extra={"error": str(error)})
                done = False
            if not done:
                self._want_rights(device_id)
                self.stopping.wait(TICK_S)
        control.stop()

    def _want_rights(self, device_id: UUID | None) -> None:
        """Have a device's account looked at, or all of them. When the queue is full the next full sync makes up."""
        if settings.MQTT_ADMIN_URL:
            with contextlib.suppress(queue.Full):
                self._rights_wanted.put_nowait(device_id)

    def _next_rights(self) -> UUID | None:
        """The next account to look at; None: all of them, which no stream of single ones puts off."""
        while not self.stopping.is_set() and time.monotonic() < self._next_full_sync:
            try:
                return self._rights_wanted.get(timeout=TICK_S)
            except queue.Empty:
                continue
        return None

    def _sync_rights(self, device_id: UUID | None, control: ControlChannel) -> None:
        if device_id:
            rights.sync_device(device_id, control)
        else:
            # Set first: a full sync that fails must not come again at once and keep the single ones waiting for ever.
            self._next_full_sync = time.monotonic() + RIGHTS_EVERY_S
            rights.sync_all(control)

    def _pulse(self) -> None:
        while not self.stopping.is_set():
            up = self._client.is_connected()
            counts = ", ".join(f"{name} {count}" for name, count in sorted(inbound.dropped.items()))
            self._with_database(lambda: self._record_pulses(up, f"dropped: {counts}" if counts else ""))  # noqa: B023
            self.stopping.wait(PULSE_EVERY_S if up else TICK_S)

    def _record_pulses(self, up: bool, dropped: str) -> None:
        """Rows of this bridge's own: another one may be well, or not, at the same time."""
        health.record_pulse("bridge", detail=dropped, process=self._id)
        told = "" if up else "the bridge is not connected"
        health.record_pulse("broker", ok=up, detail=told, process=self._id)

    def _with_database(self, action: Callable[[], object], *, again: bool = False) -> bool:
        """Run an action with this thread's connection; on a lost one, try anew (`again`) until the bridge stops."""
        while True:
            try:
                action()
                return True
            except (OperationalError, InterfaceError) as error:
                logger.warning("the database is away", extra={"error": str(error)})
                connections.close_all()
                if not again or self.stopping.wait(TICK_S):
                    return False
            except ControlError:
                raise
            except Exception:
                # Poison: the next message or command must not suffer for it. It stays in its table for a person.
                logger.exception("a message or command could not be handled")
                inbound.dropped["failed"] += 1
                return True


def _alone(loop: Callable[..., None], *arguments: object) -> None:
    """Run a thread's loop; its database connection ends with it."""
    try:
        loop(*arguments)
    finally:
        connections.close_all()


def _listen_arguments() -> dict[str, Any]:
    parameters = dict(connection.get_connection_params())
    for name in ("cursor_factory", "context", "pool", "prepare_threshold", "client_encoding"):
        parameters.pop(name, None)
    parameters["application_name"] = "bridge-listen"
    return parameters
