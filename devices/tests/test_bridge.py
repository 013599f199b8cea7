"""The bridge end to end: a real broker, the real database, and a Pi that knows only the published contract."""

import math
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import paho.mqtt.client as mqtt
import pytest
from django.utils import timezone
from pytest_django import Settings

from carts.enums import RentalStatus
from carts.models import Cart, Rental
from carts.services import start_rental
from carts.tests.factories import make_cart
from core import health
from core.models import ComponentPulse
from core.tests.race import wait_for
from devices import services
from devices.enums import CommandStatus, PresenceState
from devices.models import BrokerAccount, Command, Device, InboundMessage, Presence, TelemetryEvent
from devices.mqtt import inbound, outbound, rights
from devices.mqtt.bridge import QUEUE_SIZE, RIGHTS_EVERY_S, Bridge
from devices.mqtt.control import ControlChannel, ControlError
from devices.tests.conftest import OwnBroker
from devices.tests.factories import make_command, make_device, make_device_token
from devices.tests.messages import birth, cart_topic, device_topic, event, lock_report, telemetry
from devices.tests.pi import FakePi
from tenants.tests.factories import make_phone, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(60)]

WITHIN_S = 60.0  # how soon a revoked device is off the broker

StartBridge = Callable[[], Bridge]
StartPi = Callable[..., FakePi]


@pytest.fixture
def start_bridge(own_broker: OwnBroker, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartBridge]:
    """Bridges on a broker nobody else uses; all are stopped in the end."""
    settings.MQTT_URL, settings.MQTT_ADMIN_URL = own_broker.broker.url, own_broker.broker.admin_url
    monkeypatch.setattr("devices.mqtt.bridge.TICK_S", 0.1)
    running: list[tuple[Bridge, threading.Thread]] = []

    def start() -> Bridge:
        settings.MQTT_BRIDGE_ID = f"bridge-{uuid4().hex[:8]}"
        bridge = Bridge()
        bridge._client.reconnect_delay_set(min_delay=1, max_delay=1)
        thread = threading.Thread(target=bridge.run)
        thread.start()
        running.append((bridge, thread))
        wait_for(bridge._client.is_connected, "the bridge's connection")
        return bridge

    yield start
    for bridge, thread in running:
        bridge.stop()
        thread.join(timeout=15)
        assert not thread.is_alive()


@pytest.fixture
def start_pi(own_broker: OwnBroker) -> Iterator[StartPi]:
    """Pis that serve their carts; each call is a new connection."""
    running: list[FakePi] = []

    def start(device: Device, *carts: Cart) -> FakePi:
        wait_for(BrokerAccount.objects.filter(device=device).exists, "the device's account")
        pi = FakePi(device, wait_for(lambda: tokens.get(device.pk), "a token"), "127.0.0.1", own_broker.broker.port)
        running.append(pi)
        assert pi.admitted
        pi.serve(*[cart.pk for cart in carts])
        wait_for(Presence.objects.filter(device=device, connection_id=pi.connection_id).exists, "its birth to be heard")
        return pi

    tokens: dict[Any, str] = {}
    start.tokens = tokens  # type: ignore[attr-defined]
    yield start
    for pi in running:
        pi.close()


@pytest.fixture
def shop(start_pi: StartPi) -> tuple[Device, Cart]:
    """A device that was admitted, and its cart."""
    cart = make_cart()
    assert cart.controller is not None
    device = cart.controller.device
    Presence.objects.update(connection_id=None, state=PresenceState.OFFLINE)
    start_pi.tokens[device.pk] = make_device_token(device=device)  # type: ignore[attr-defined]
    return device, cart


def rent(cart: Cart) -> Rental:
    answer = start_rental(cart=cart, customer=make_user(phone=make_phone()), idempotency_key=uuid4().hex)
    return Rental.objects.get(pk=answer["rental_id"])


def start_two(start_bridge: StartBridge) -> None:
    """The second finds the accounts made: had it to make them as well, it would end the session of a Pi just come."""
    start_bridge()
    wait_for(BrokerAccount.objects.exists, "the device's account")
    start_bridge()


def status_of(command: Command) -> str:
    return Command.objects.values_list("status", flat=True).get(pk=command.pk)


def queue_for(device: Device, **fields: Any) -> Command:
    return services.queue_command(device=Device.objects.get(pk=device.pk), **{"type": "identify", **fields})


def test_from_a_tap_to_an_open_lock_and_back(
    shop: tuple[Device, Cart], start_bridge: StartBridge, start_pi: StartPi
) -> None:
    device, cart = shop
    start_bridge()
    pi = start_pi(device, cart)

    rental = rent(cart)
    command = pi.next_command()
    pi.answer(command, "acked")
    row = Command.objects.get(pk=command["command_id"])
    wait_for(lambda: status_of(row) == CommandStatus.ACKED, "the hop")
    before = Rental.objects.get().status
    pi.answer(command, "done", lock="unlocked", present=True, seq=1, timing_ms={"received_to_wire": 1.2})
    wait_for(lambda: Rental.objects.get().status == RentalStatus.ACTIVE, "the rental to run")
    pi.publish(cart_topic(device, cart.pk), lock_report(lock="locked", present=True, seq=2))
    wait_for(lambda: Rental.objects.get().status == RentalStatus.RETURNED, "the return")

    assert before == RentalStatus.PENDING_UNLOCK
    assert (command["topic"], command["retained"]) == (cart_topic(device, cart.pk, "unlock"), False)
    assert (command["type"], command["connection_id"]) == ("unlock", str(pi.connection_id))
    assert str(rental.unlock_command_id) == command["command_id"]
    assert pi.received.empty()


def test_command_is_marked_sent_when_the_broker_has_it(
    shop: tuple[Device, Cart], start_bridge: StartBridge, start_pi: StartPi
) -> None:
    start_bridge()
    pi = start_pi(shop[0])

    command = queue_for(shop[0])

    assert pi.next_command()["command_id"] == str(command.pk)
    wait_for(lambda: status_of(command) == CommandStatus.SENT, "the mark")


def test_pi_that_loses_its_line_is_offline_and_gets_nothing_old_when_it_is_back(
    shop: tuple[Device, Cart], start_bridge: StartBridge, start_pi: StartPi
) -> None:
    device, cart = shop
    start_bridge()
    first = start_pi(device, cart)
    queue_for(device)
    first.next_command()
    missed = queue_for(device)
    first.lose_line()
    wait_for(lambda: Presence.objects.get().state == PresenceState.OFFLINE, "the will")

    second = start_pi(device, cart)
    fence = queue_for(device)

    assert second.next_command()["command_id"] == str(fence.pk) != str(missed.pk)


def test_nothing_is_retained_for_whoever_subscribes_later(
    shop: tuple[Device, Cart], start_bridge: StartBridge, start_pi: StartPi
) -> None:
    device, cart = shop
    start_bridge()
    first = start_pi(device, cart)
    rent(cart)
    first.next_command()
    first.close()

    second = start_pi(device, cart)
    fence = queue_for(device)

    assert second.next_command()["command_id"] == str(fence.pk)


def test_broker_killed_and_restarted_publishes_nothing_past_its_time(
    shop: tuple[Device, Cart], start_bridge: StartBridge, start_pi: StartPi, own_broker: OwnBroker
) -> None:
    device, cart = shop
    bridge = start_bridge()
    start_pi(device, cart)
    own_broker.kill()
    wait_for(lambda: not bridge._client.is_connected(), "the bridge to notice")
    rental = rent(cart)
    Command.objects.filter(pk=rental.unlock_command_id).update(expires_at=timezone.now() + timedelta(seconds=0.3))
    wait_for(lambda: Rental.objects.get().status == RentalStatus.VOIDED, "the clock")

    own_broker.start()
    wait_for(bridge._client.is_connected, "the bridge to be back")
    pi = start_pi(device, cart)
    fence = queue_for(device)

    assert pi.next_command()["command_id"] == str(fence.pk)
    rental.refresh_from_db()
    assert rental.unlock_command is not None
    # Never claimed, so the lock can't have moved: nobody has to look at it.
    assert rental.unlock_command.status == CommandStatus.EXPIRED
    assert rental.cart.condition == "ok"


def test_bridge_killed_between_claim_and_publish_is_made_up_for(
    shop: tuple[Device, Cart], start_bridge: StartBridge, start_pi: StartPi, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, cart = shop
    monkeypatch.setattr(outbound, "LEASE", timedelta(seconds=0.5))
    dying = start_bridge()
    pi = start_pi(device, cart)
    dying._publish = lambda *args: True  # type: ignore[method-assign]
    command = queue_for(device)
    wait_for(Command.objects.filter(pk=command.pk, lease_until__isnull=False).exists, "the claim")
    dying.stop()

    start_bridge()

    assert pi.next_command()["command_id"] == str(command.pk)


def test_two_bridges_publish_each_command_once(
    shop: tuple[Device, Cart], start_bridge: StartBridge, start_pi: StartPi
) -> None:
    start_two(start_bridge)
    pi = start_pi(shop[0])

    commands = [queue_for(shop[0]) for _ in range(20)]
    received = [pi.next_command()["command_id"] for _ in commands]
    fence = queue_for(shop[0])

    assert sorted(received) == sorted(str(command.pk) for command in commands)
    assert pi.next_command()["command_id"] == str(fence.pk)


def test_two_bridges_take_each_message_once(
    shop: tuple[Device, Cart], start_bridge: StartBridge, start_pi: StartPi
) -> None:
    start_two(start_bridge)
    device, _ = shop
    pi = start_pi(device)

    for _ in range(20):
        pi.publish(device_topic(device, "telemetry"), telemetry(event()))

    wait_for(lambda: TelemetryEvent.objects.count() == 20, "all events")
    assert InboundMessage.objects.filter(topic=device_topic(device, "telemetry")).count() == 20


def test_poison_does_not_stop_the_others(
    shop: tuple[Device, Cart], start_bridge: StartBridge, start_pi: StartPi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Malformed, oversized, and one that hits a bug of ours; all through the worker that then takes a good one."""
    device, cart = shop
    handle = inbound.handle

    def handle_with_a_bug(topic: str, payload: bytes) -> None:
        if b"poison" in payload:
            raise ZeroDivisionError("a bug")
        handle(topic, payload)

    monkeypatch.setattr(inbound, "handle", handle_with_a_bug)
    start_bridge()
    pi = start_pi(device, cart)
    topic = cart_topic(device, cart.pk)

    for payload in (b"", b"\xff" * 100, b"[" * 50_000, b"x" * 140_000, lock_report(seq=3, hint="poison")):
        pi.publish(topic, payload)
    pi.publish(topic, lock_report(lock="unlocked", present=False, seq=4))

    wait_for(lambda: Cart.objects.get().lock_seq == 4, "the good one")


def test_poison_command_does_not_stop_the_others(
    shop: tuple[Device, Cart], start_bridge: StartBridge, start_pi: StartPi
) -> None:
    """A row of a type this version does not know."""
    start_bridge()
    pi = start_pi(shop[0])
    poison = make_command(device=Device.objects.get(pk=shop[0].pk), type="dance")

    commands = [queue_for(shop[0]) for _ in range(2)]

    assert [pi.next_command()["command_id"] for _ in commands] == [str(command.pk) for command in commands]
    assert status_of(poison) == CommandStatus.QUEUED


def test_revoked_device_is_thrown_off_the_broker(
    shop: tuple[Device, Cart], start_bridge: StartBridge, start_pi: StartPi
) -> None:
    start_bridge()
    pi = start_pi(shop[0])

    services.revoke_device(device=Device.objects.get(pk=shop[0].pk), actor=make_user())

    assert pi.ended.wait(10)


def miss_wake_ups(monkeypatch: pytest.MonkeyPatch, rights_every_s: float) -> list[UUID]:
    """Bridges from now on hear no change of one device's rights. Answers of which ones they didn't."""
    missed: list[UUID] = []
    want = Bridge._want_rights

    def hear_all_only(bridge: Bridge, device_id: UUID | None) -> None:
        if device_id is None:
            want(bridge, None)
        else:
            missed.append(device_id)

    monkeypatch.setattr("devices.mqtt.bridge.RIGHTS_EVERY_S", rights_every_s)
    monkeypatch.setattr(Bridge, "_want_rights", hear_all_only)
    return missed


Revoke = Callable[[float], FakePi]


@pytest.fixture
def revoke_unheard(
    shop: tuple[Device, Cart], start_bridge: StartBridge, start_pi: StartPi, monkeypatch: pytest.MonkeyPatch
) -> Revoke:
    """Revoke a connected device while its wake-up is lost and all rights are brought in line each so many seconds."""

    def revoke(rights_every_s: float) -> FakePi:
        missed = miss_wake_ups(monkeypatch, rights_every_s=rights_every_s)
        start_bridge()
        pi = start_pi(shop[0])
        services.revoke_device(device=Device.objects.get(pk=shop[0].pk), actor=make_user())
        wait_for(lambda: shop[0].pk in missed, "the wake-up that is not heard")
        return pi

    return revoke


def test_revoked_device_is_thrown_off_when_the_wake_up_is_lost(revoke_unheard: Revoke) -> None:
    assert revoke_unheard(0.5).ended.wait(10)


def test_revoked_device_is_thrown_off_when_the_wake_up_is_lost_control(
    shop: tuple[Device, Cart], revoke_unheard: Revoke
) -> None:
    """Were all rights not brought in line now and then, it would stay."""
    pi = revoke_unheard(3600.0)

    assert pi.subscribe(device_topic(shop[0], "commands"))
    assert not pi.ended.is_set()


def test_lost_wake_up_leaves_as_long_again_for_the_sync_itself() -> None:
    assert RIGHTS_EVERY_S <= WITHIN_S / 2


def test_stranger_is_not_heard(shop: tuple[Device, Cart], start_bridge: StartBridge, start_pi: StartPi) -> None:
    """A device that speaks in another one's name."""
    start_bridge()
    device, cart = shop
    victim = make_device(connected=False, branch=device.branch)
    pi = start_pi(device, cart)

    pi.publish(device_topic(victim), birth(uuid4()))
    pi.publish(cart_topic(device, cart.pk), lock_report(seq=4))

    wait_for(lambda: Cart.objects.get().lock_seq == 4, "what it may say")
    assert not InboundMessage.objects.filter(source_id=victim.pk).exists()


def test_bridge_shows_that_it_lives(start_bridge: StartBridge) -> None:
    start_bridge()

    wait_for(lambda: health.works("bridge") and health.works("broker"), "its pulse")


def test_bridge_that_lost_the_broker_does_not_speak_for_the_other(lone_bridge: Bridge) -> None:
    health.record_pulse("broker", process="another")

    lone_bridge._record_pulses(False, "")

    assert health.works("broker")
    assert ComponentPulse.objects.filter(ok=False).count() == 1


# Parts on their own: no broker is there.


class ForgetfulSet(set[int]):
    """Remembers nothing."""

    def add(self, mid: int) -> None:
        pass


@pytest.fixture
def lone_bridge(settings: Settings) -> Bridge:
    settings.MQTT_URL, settings.MQTT_ADMIN_URL = "mqtt://bridge:x@127.0.0.1:9", "mqtt://admin:x@127.0.0.1:9"
    return Bridge()


def publish_to_a_fast_broker(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """It has acknowledged before `publish` returns. Answers the commands known to be sent."""

    def publish(*args: Any, **kwargs: Any) -> mqtt.MQTTMessageInfo:
        bridge._on_publish(bridge._client, None, 7, None, None)
        return mqtt.MQTTMessageInfo(7)

    monkeypatch.setattr(bridge._client, "is_connected", lambda: True)
    monkeypatch.setattr(bridge._client, "publish", publish)
    bridge._publish("cartwise/x", b"{}", UUID(int=1))
    return list(bridge._puback.queue)


def test_acknowledgement_that_is_faster_than_publish_counts(
    lone_bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publish_to_a_fast_broker(lone_bridge, monkeypatch) == [UUID(int=1)]
    assert (lone_bridge._published, lone_bridge._acked_early) == ({}, set())


def test_acknowledgement_that_is_faster_than_publish_counts_control(
    lone_bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it not remembered, the command would be published again after its lease."""
    lone_bridge._acked_early = ForgetfulSet()

    assert publish_to_a_fast_broker(lone_bridge, monkeypatch) == []


def test_publishing_without_a_connection_is_told(lone_bridge: Bridge) -> None:
    assert lone_bridge._publish("cartwise/x", b"{}", UUID(int=1)) is False
    assert lone_bridge._published == {}


def handled_and_acknowledged(bridge: Bridge, monkeypatch: pytest.MonkeyPatch, count: int) -> list[tuple[str, int]]:
    """What the bridge does with so many messages that wait for it, in order."""
    steps: list[tuple[str, int]] = []

    def acknowledge(mid: int, qos: int) -> None:
        steps.append(("acknowledged", mid))
        if mid == count:
            bridge.stop()

    monkeypatch.setattr(inbound, "handle", lambda topic, payload: steps.append(("handled", int(payload))))
    monkeypatch.setattr(bridge._client, "ack", acknowledge)
    inbox = bridge._inboxes[0]
    for number in range(1, count + 1):
        message = mqtt.MQTTMessage(mid=number, topic=b"cartwise/x")
        message.payload, message.qos = b"%d" % number, 1
        inbox.put(message)
    bridge._work(inbox)
    return steps


def steps(what: str, *numbers: int) -> list[tuple[str, int]]:
    return [(what, number) for number in numbers]


def test_messages_are_acknowledged_in_order_once_none_waits(
    lone_bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = handled_and_acknowledged(lone_bridge, monkeypatch, 3)

    assert found == [*steps("handled", 1, 2, 3), *steps("acknowledged", 1, 2, 3)]


def test_stream_of_messages_does_not_put_off_their_acknowledgement(
    lone_bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.mqtt.bridge.UNACKED", 2)

    found = handled_and_acknowledged(lone_bridge, monkeypatch, 3)

    first = [*steps("handled", 1, 2), *steps("acknowledged", 1, 2)]
    assert found == [*first, *steps("handled", 3), *steps("acknowledged", 3)]


def test_full_rights_queue_holds_nobody_up(lone_bridge: Bridge) -> None:
    for _ in range(QUEUE_SIZE + 1):
        lone_bridge._want_rights(UUID(int=1))

    assert lone_bridge._rights_wanted.full()


def test_nothing_waits_for_rights_that_somebody_else_keeps(lone_bridge: Bridge, settings: Settings) -> None:
    settings.MQTT_ADMIN_URL = ""

    lone_bridge._want_rights(UUID(int=1))

    assert lone_bridge._rights_wanted.empty()


def keep_rights(
    bridge: Bridge,
    monkeypatch: pytest.MonkeyPatch,
    *,
    refusals: int,
    rounds: int,
    failure: type[Exception] = ControlError,
) -> list[UUID | None]:
    """What the bridge brings in line in that many rounds; the first ones fail, as a broker that refuses them would."""
    asked: list[UUID | None] = []

    def sync(device_id: UUID | None, control: object) -> None:
        asked.append(device_id)
        if len(asked) >= rounds:
            bridge.stop()
        if len(asked) <= refusals:
            raise failure("not now")

    monkeypatch.setattr("devices.mqtt.bridge.TICK_S", 0.01)
    monkeypatch.setattr("devices.mqtt.bridge.rights.sync_device", sync)
    monkeypatch.setattr("devices.mqtt.bridge.rights.sync_all", lambda control: sync(None, control))
    bridge._keep_rights()
    return asked


def test_account_the_broker_refused_is_tried_again(lone_bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    lone_bridge._next_full_sync = math.inf
    lone_bridge._want_rights(UUID(int=1))

    assert keep_rights(lone_bridge, monkeypatch, refusals=2, rounds=3) == [UUID(int=1)] * 3


def test_stream_of_single_accounts_does_not_put_off_the_full_sync(
    lone_bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.mqtt.bridge.RIGHTS_EVERY_S", 0.0)
    for _ in range(10):
        lone_bridge._want_rights(UUID(int=1))

    assert keep_rights(lone_bridge, monkeypatch, refusals=0, rounds=2) == [None, None]


def test_full_sync_that_fails_leaves_the_single_accounts_their_turn(
    lone_bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    lone_bridge._want_rights(UUID(int=1))

    kept = keep_rights(lone_bridge, monkeypatch, refusals=1, rounds=2, failure=ZeroDivisionError)

    assert kept == [None, UUID(int=1)]


def test_full_sync_that_fails_leaves_the_single_accounts_their_turn_control(
    lone_bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were its next time set only afterwards, it would come again at once, for ever."""

    def time_set_afterwards(device_id: UUID | None, control: ControlChannel) -> None:
        rights.sync_all(control)
        lone_bridge._next_full_sync = math.inf

    monkeypatch.setattr(lone_bridge, "_sync_rights", time_set_afterwards)
    lone_bridge._want_rights(UUID(int=1))

    kept = keep_rights(lone_bridge, monkeypatch, refusals=5, rounds=5, failure=ZeroDivisionError)

    assert kept == [None] * 5


def test_full_sync_the_broker_refused_is_tried_again(lone_bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keep_rights(lone_bridge, monkeypatch, refusals=2, rounds=3) == [None] * 3
