"""The cloud's processes as one thread: the bridge that publishes and takes messages, the worker that sweeps.

They run the real services on a real PostgreSQL. `django.utils.timezone.now` answers virtual time, so that expiries,
leases, retries and sweeps come when they would. A killed process loses what it had in hand and is started anew.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any
from unittest.mock import patch
from uuid import UUID

from django.db import transaction

from carts import services as cart_services
from core import outbox
from devices import services
from devices.models import Device
from devices.mqtt import inbound, outbound
from devices.services.presence import Heartbeat

from .faults import Fault
from .oracle import Oracle
from .races import gate
from .wire import Wire
from .world import Killed, World


class ReceiverFailed(Exception):
    """What a receiver raises when its delivery is to fail."""


class Cloud:
    """The bridge is `up` or on its way back; the broker keeps its messages meanwhile."""

    def __init__(self, world: World, wire: Wire, oracle: Oracle) -> None:
        self.world = world
        self.wire = wire
        self.oracle = oracle
        self.up = True
        self._life = 0
        self._backlog: list[tuple[str, bytes]] = []
        wire.take = self.take
        wire.broker_back = self._drain_backlog

    # The bridge

    def woken(self, channel: str, payload: object) -> None:
        """Stands for NOTIFY: heard on commit, never on rollback, and only by a bridge that listens."""
        command_id = UUID(str(payload))
        gate()
        transaction.on_commit(lambda: self._hear(command_id))

    def _hear(self, command_id: UUID) -> None:
        self.oracle.queued(command_id)
        if self.world.strikes(Fault.WAKE_LOST):
            return
        self.world.after(self.world.between(0.0005, 0.01), lambda: self._publish_one(command_id))
        if self.world.strikes(Fault.SECOND_BRIDGE):
            self.world.after(self.world.between(0.0005, 1.5), lambda: self._publish_one(command_id))

    def tick(self) -> None:
        """What the bridge does once a second."""
        if not self.up:
            return
        self._as_bridge(services.expire_overdue_commands)
        if self.up and self.wire.running:
            for command_id in outbound.waiting_commands():
                self._publish_one(command_id)

    def _publish_one(self, command_id: UUID) -> None:
        if self.up:
            self._as_bridge(lambda: outbound.publish_command(command_id, self._publish))

    def _publish(self, topic: str, payload: bytes, command_id: UUID) -> bool:
        world = self.world
        if world.strikes(Fault.KILL_BEFORE_PUBLISH):
            raise Killed
        if not self.wire.running:
            return False
        self.oracle.published(topic, payload)
        self.wire.down(topic, payload)
        if world.strikes(Fault.KILL_AFTER_PUBLISH):
            raise Killed
        if not world.strikes(Fault.PUBACK_LOST):
            self._later(world.between(0.001, 0.02), lambda: outbound.mark_sent([command_id]))
        return True

    def take(self, topic: str, payload: bytes) -> None:
        """A message from the broker; acknowledged after its commit, so that it comes again when the bridge dies."""
        if not (self.up and self.wire.running):
            self._backlog.append((topic, payload))
        elif self.world.strikes(Fault.KILL_BEFORE_COMMIT):
            self._backlog.append((topic, payload))
            self._as_bridge(lambda: self._handle_and_die(topic, payload))
        elif not self._as_bridge(lambda: inbound.handle(topic, payload)) or self.world.strikes(Fault.KILL_AFTER_COMMIT):
            self._backlog.append((topic, payload))
            self._as_bridge(_die)

    @staticmethod
    def _handle_and_die(topic: str, payload: bytes) -> None:
        with transaction.atomic():
            inbound.handle(topic, payload)
            raise Killed

    def _as_bridge(self, action: Callable[[], object]) -> bool:
        """Run a piece of the bridge; False when it died of it."""
        try:
            action()
        except Killed:
            self._stop()
            return False
        return True

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        life = self._life

        def act() -> None:
            if self.up and self._life == life:
                self._as_bridge(action)

        self.world.after(seconds, act)

    def _stop(self) -> None:
        if self.up:
            self.up = False
            self._life += 1
            self.world.outcomes["starts of a bridge"] += 1
            self.world.after(self.world.between(0.3, 6.0), self._start)

    def _start(self) -> None:
        self.up = True
        self._drain_backlog()

    def _drain_backlog(self) -> None:
        waiting, self._backlog = self._backlog, []
        for topic, payload in waiting:
            self.take(topic, payload)

    # The worker

    def sweep_often(self) -> None:
        """Every five seconds."""
        self._as_worker(services.expire_overdue_commands)
        self._as_worker(outbox.sweep)

    def sweep_seldom(self) -> None:
        """Every fifteen seconds."""
        self._as_worker(cart_services.sweep_pending_rentals)
        self._as_worker(cart_services.sweep_overdue_rentals)
        self._as_worker(services.sweep_presence)

    def _as_worker(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Killed:
            # Its broker gives the task to the next worker; beat sends the next one anyway.
            self.world.outcomes["starts of a worker"] += 1

    # The web

    def as_web(self, action: Callable[[], Any]) -> Any:
        """A request; its process may die after the commit, while it delivers. None then: the phone got no answer."""
        try:
            return action()
        except Killed:
            self.world.outcomes["starts of a web process"] += 1
            return None

    def heartbeat(self, device_id: UUID, connection_id: UUID | None) -> datetime:
        """A device's REST heartbeat; the server's date."""
        device = Device.objects.select_related("presence").get(pk=device_id)
        services.record_heartbeat(device=device, heartbeat=Heartbeat(connection_id=connection_id))
        return self.world.date()

    # How the code is tied to this world

    @contextmanager
    def tied(self) -> Iterator[None]:
        """Virtual time, our ear for NOTIFY, no open pages, and receivers that may fail."""
        receivers = {
            event: {name: self._fragile(handler) for name, handler in handlers.items()}
            for event, handlers in outbox._receivers.items()
        }
        with ExitStack() as stack:
            stack.enter_context(patch("django.utils.timezone.now", self.world.date))
            stack.enter_context(patch("devices.notify.wake", self.woken))
            stack.enter_context(patch("core.live._listeners", {}))
            stack.enter_context(patch("core.outbox._receivers", receivers))
            yield

    def _fragile(self, handler: Callable[[Any], None]) -> Callable[[Any], None]:
        def run(event: Any) -> None:
            handler(event)
            if self.world.strikes(Fault.KILL_RECEIVER):
                raise Killed
            if self.world.strikes(Fault.RECEIVER_FAILS):
                raise ReceiverFailed

        return run


def _die() -> None:
    raise Killed
