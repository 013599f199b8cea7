"""The broker and the network around it: carries the encoded bytes of both sides, and does to them what networks do."""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from pi_client.contract import LockState, Outcome, Result, encode, parse_topic
from pi_client.ports import BrokerListener

from .faults import Fault
from .oracle import Oracle
from .world import World

QUICK = (0.002, 0.03)
HISTORY = 300


@dataclass(frozen=True, slots=True)
class Copy:
    """A message on its way to a device. `stubborn`: a later connection gets it when its own is gone."""

    topic: str
    payload: bytes
    device_id: UUID
    link: "Link | None"
    retained: bool = False
    stubborn: bool = False


class Link:
    """Implements pi_client.ports.BrokerConnection: one MQTT connection of a device, up until it is cut."""

    def __init__(self, wire: "Wire", device_id: UUID, will: tuple[str, bytes], listener: BrokerListener) -> None:
        self._wire = wire
        self.device_id = device_id
        self.will = will
        self.listener = listener
        self.up = True
        self.closed = False
        self.numbers = 0
        self.last_arrival = 0.0

    def publish(self, topic: str, payload: bytes) -> int | None:
        if self.closed:
            return None
        self.numbers += 1
        self._wire.up(self, self.numbers, topic, payload)
        return self.numbers

    def subscribe(self, filters: Sequence[str]) -> list[str]:
        return []

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Nothing: a campaign's carts stay where they are."""

    def close(self) -> None:
        self.closed = True


class Wire:
    """`routes`: the device that serves each cart or device id. `take` hands a message to the bridge."""

    def __init__(self, world: World, oracle: Oracle, routes: Mapping[UUID, UUID]) -> None:
        self.world = world
        self.oracle = oracle
        self.running = True
        self.take: Callable[[str, bytes], None] = lambda topic, payload: None
        self.broker_back: Callable[[], None] = lambda: None
        self._routes = routes
        self._links: dict[UUID, Link] = {}
        self._history: deque[tuple[str, bytes]] = deque(maxlen=HISTORY)
        self._era = 0

    # Connections

    def connect(self, device_id: UUID, *, will: tuple[str, bytes], listener: BrokerListener) -> Link | None:
        """A new connection; the one before is thrown out, as brokers do. None while the broker is down."""
        if not self.running:
            return None
        if (old := self._links.get(device_id)) is not None:
            self.cut(old)
        link = self._links[device_id] = Link(self, device_id, will, listener)
        return link

    def cut(self, link: Link, *, will: bool = True) -> None:
        """The line is dead. The Pi notices after a while, the broker too, and then sends the last will."""
        if not link.up:
            return
        link.up = False
        world = self.world
        world.note("connection cut", link.device_id)
        world.after(self._until_noticed(), lambda: lost(link))
        if will:
            world.after(self._until_noticed(), lambda: self._reach_bridge(*link.will))

    def _until_noticed(self) -> float:
        """Mostly the other end's farewell comes at once; a silent line is noticed after its keepalive."""
        soon = self.world.random.random() < 0.93
        return self.world.between(0.0, 1.0) if soon else self.world.between(1.0, 45.0)

    def cut_any(self) -> None:
        """Called each second for each device."""
        for link in list(self._links.values()):
            if link.up and self.world.strikes(Fault.CUT):
                self.cut(link)

    def restart_broker(self) -> None:
        """Nothing in flight survives, in either direction; wills are not sent."""
        self._era += 1
        self.running = False
        self.world.note("broker restarts", *self._links)
        for link in self._links.values():
            self.cut(link, will=False)
        self.world.after(self.world.between(0.3, 4.0), self._come_back)

    def _come_back(self) -> None:
        self.running = True
        self.broker_back()

    # To the devices

    def down(self, topic: str, payload: bytes) -> None:
        """The bridge has published."""
        world = self.world
        target = parse_topic(topic).id
        device_id = self._routes[target]
        copy = Copy(topic, payload, device_id, self._links.get(device_id))
        self._history.append((topic, payload))
        if world.strikes(Fault.DOWN_ELSEWHERE):
            other = world.random.choice([one for one in self._links if one != device_id] or [device_id])
            self._send(replace(copy, device_id=other, link=self._links.get(other)), world.between(*QUICK))
        if world.strikes(Fault.UP_FOREIGN):
            self._answer_elsewhere(topic, payload)
        if world.strikes(Fault.DOWN_TWICE):
            for _ in range(world.random.choice((1, 1, 2))):
                self._send(copy, world.between(0.0, 7.5))
        if world.strikes(Fault.DOWN_LOST):
            return
        copy = replace(copy, retained=world.strikes(Fault.DOWN_RETAINED))
        if world.strikes(Fault.DOWN_HELD):
            self._send(replace(copy, stubborn=True), world.between(8.0, 120.0))
        elif world.strikes(Fault.DOWN_NEXT_CONNECTION):
            self._send(replace(copy, stubborn=True), world.between(0.0, 7.5))
            if copy.link is not None:
                self.cut(copy.link)
        else:
            delayed = world.strikes(Fault.DOWN_DELAYED)
            self._send(copy, world.between(0.5, 10.0) if delayed else world.between(*QUICK))

    def replay(self) -> None:
        """Something old comes again on whatever connection there is."""
        if self._history and self.world.strikes(Fault.REPLAYED):
            topic, payload = self._history[-1 - int(self.world.random.triangular(0, len(self._history), 0))]
            device_id = self._routes[parse_topic(topic).id]
            copy = Copy(topic, payload, device_id, self._links.get(device_id), stubborn=True)
            self._send(replace(copy, retained=self.world.random.random() < 0.1), 0.001)

    def _send(self, copy: Copy, delay: float) -> None:
        era = self._era
        self.world.after(delay, lambda: self._arrive(copy, era))

    def _arrive(self, copy: Copy, era: int) -> None:
        link = copy.link
        if era != self._era and not copy.stubborn:
            self.world.outcomes["message lost with the broker"] += 1
            return
        if copy.stubborn:
            link = self._links.get(copy.device_id)
        if link is None or not link.up or link.closed:
            self.world.outcomes["message lost with its connection"] += 1
            return
        self.oracle.delivered(copy.device_id, copy.payload, retained=copy.retained)
        link.listener.on_message(copy.topic, copy.payload, copy.retained)

    # To the cloud

    def up(self, link: Link, number: int, topic: str, payload: bytes) -> None:
        """A device has published on `link`."""
        world = self.world
        self.oracle.answered(link.device_id, topic, payload)
        if not link.up:
            return
        if world.strikes(Fault.UP_LOST):
            # TCP loses nothing without losing the connection.
            world.after(world.between(0.0, 3.0), lambda: self.cut(link))
            return
        era = self._era

        def arrive() -> None:
            if era == self._era:
                self._reach_bridge(topic, payload)
                if not world.strikes(Fault.PUBACK_LOST):
                    world.after(world.between(*QUICK), acknowledge)

        def acknowledge() -> None:
            if link.up:
                link.listener.on_published(number)

        if world.strikes(Fault.UP_TWICE):
            world.after(world.between(0.0, 20.0), lambda: self._reach_bridge(topic, payload))
        if world.strikes(Fault.UP_HELD):
            world.after(world.between(11.0, 90.0), arrive)
        elif world.strikes(Fault.UP_DELAYED):
            world.after(world.between(0.2, 12.0), arrive)
        else:
            link.last_arrival = max(link.last_arrival, world.now + world.between(*QUICK))
            world.after(link.last_arrival - world.now, arrive)

    def _answer_elsewhere(self, topic: str, payload: bytes) -> None:
        """Some other cart or device claims to have carried out the command."""
        asked = parse_topic(topic)
        other = self.world.random.choice([one for one in self._routes if one != asked.id])
        kind = "devices" if other in self._routes.values() else "carts"
        claim = Result(
            message_id=uuid4(),
            sent_at=self.world.date(),
            command_id=UUID(json.loads(payload)["command_id"]),
            outcome=Outcome.DONE,
            lock=LockState.UNLOCKED,
            present=False,
            seq=10**15,
        )
        where = f"cartwise/{asked.chain}/{asked.branch}/{kind}/{other}/status"
        self.world.note(f"{kind} {str(other)[:8]} claims to have done it", claim.command_id)
        self.world.after(self.world.between(*QUICK), lambda: self._reach_bridge(where, encode(claim)))

    def _reach_bridge(self, topic: str, payload: bytes) -> None:
        self.take(topic, payload)


def lost(link: Link) -> None:
    """The Pi's network thread notices; it tells nobody twice."""
    if not link.closed:
        link.closed = True
        link.listener.on_lost("cut")
