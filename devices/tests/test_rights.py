"""Who may read and write what on the broker, tried on the real ones."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from pytest_django import Settings

from carts.models import Cart
from carts.services import place_cart
from carts.tests.factories import make_cart
from core.tests.race import wait_for
from deploy.stack.broker import Broker
from devices import services
from devices.models import BrokerAccount, Device
from devices.mqtt import rights
from devices.mqtt.connection import client_from_url
from devices.mqtt.control import BrokerSilent, ControlChannel, ControlError
from devices.mqtt.rights import sync_all, sync_device
from devices.services.tokens import device_of_token, issue_token, signed
from devices.tests.factories import make_controller, make_device, make_device_token
from devices.tests.messages import birth, cart_topic, device_topic
from devices.tests.pi import DEADLINE_S, FakePi
from tenants.tests.factories import make_user

pytestmark = pytest.mark.django_db

Connect = Callable[..., FakePi]


@pytest.fixture
def control(either_broker: Broker) -> Iterator[ControlChannel]:
    channel = ControlChannel(either_broker.admin_url)
    channel.start()
    yield channel
    channel.stop()


@pytest.fixture
def connect(either_broker: Broker) -> Iterator[Connect]:
    clients: list[FakePi] = []

    def open_client(device: Device, token: str) -> FakePi:
        pi = FakePi(device, token, "127.0.0.1", either_broker.port)
        clients.append(pi)
        return pi

    yield open_client
    for client in clients:
        client.close()


@pytest.fixture
def heard(either_broker: Broker) -> Iterator[Callable[[str], bool]]:
    """Whether the cloud hears what is published on a topic; asked with a fence behind it."""
    client, host, port = client_from_url(either_broker.url, "bridge-test", clean_session=True)
    topics: list[str] = []
    subscribed: list[bool] = []
    client.on_message = lambda _, __, message: topics.append(message.topic)
    client.on_subscribe = lambda *_: subscribed.append(True)
    client.on_connect = lambda *_: client.subscribe("cartwise/#", qos=1)
    client.connect(host, port)
    client.loop_start()
    wait_for(lambda: subscribed, "the bridge's subscription")

    def was_heard(topic: str, *, fence: str) -> bool:
        wait_for(lambda: fence in topics, "the fence")
        return topic in topics

    yield was_heard
    client.disconnect()
    client.loop_stop()


def equipped() -> tuple[Device, Cart, str]:
    """A device with a cart and the token it uses."""
    cart = make_cart()
    assert cart.controller is not None
    return cart.controller.device, cart, make_device_token(device=cart.controller.device)


def test_device_reads_its_own_topics_and_those_of_its_carts_and_nothing_else(
    control: ControlChannel, connect: Connect
) -> None:
    device, cart, token = equipped()
    neighbour = make_cart(branch=device.branch)
    stranger, strange_cart, _ = equipped()
    sync_device(device.pk, control)
    pi = connect(device, token)

    allowed = [
        device_topic(device, "commands"),
        cart_topic(device, cart.pk, "unlock"),
        cart_topic(device, cart.pk, "lock"),
    ]
    refused = [
        "#",
        "+/#",
        "cartwise/#",
        f"{device_topic(device, 'commands').rpartition('/')[0]}/#",
        f"cartwise/{device.branch.chain.slug}/{device.branch.code}/carts/+/unlock",
        cart_topic(device, neighbour.pk, "unlock"),
        cart_topic(device, cart.pk, "status"),
        device_topic(stranger, "commands"),
        cart_topic(stranger, strange_cart.pk, "unlock"),
        "$share/x/cartwise/#",
        "$CONTROL/dynamic-security/v1/response",
        "$SYS/#",
    ]

    assert {topic: pi.subscribe(topic) for topic in allowed} == dict.fromkeys(allowed, True)
    assert {topic: pi.subscribe(topic) for topic in refused} == dict.fromkeys(refused, False)


def test_device_writes_its_own_topics_and_those_of_its_carts_and_nothing_else(
    control: ControlChannel, connect: Connect, heard: Callable[..., bool]
) -> None:
    device, cart, token = equipped()
    neighbour = make_cart(branch=device.branch)
    stranger, strange_cart, _ = equipped()
    sync_device(device.pk, control)
    pi = connect(device, token)
    refused = [
        device_topic(device, "commands"),
        cart_topic(device, cart.pk, "unlock"),
        cart_topic(device, neighbour.pk, "status"),
        device_topic(stranger),
        cart_topic(stranger, strange_cart.pk, "status"),
        f"cartwise/{device.branch.chain.slug}/{device.branch.code}/devices/{uuid4()}/status",
    ]
    allowed = [device_topic(device), cart_topic(device, cart.pk), device_topic(device, "telemetry")]

    for topic in refused + allowed:
        pi.publish(topic, birth(uuid4()))

    fence = allowed[-1]
    assert {topic: heard(topic, fence=fence) for topic in refused} == dict.fromkeys(refused, False)
    assert {topic: heard(topic, fence=fence) for topic in allowed} == dict.fromkeys(allowed, True)


def test_password_is_the_token_and_nothing_else(control: ControlChannel, connect: Connect) -> None:
    device, _, token = equipped()
    other, _, others_token = equipped()
    sync_device(device.pk, control)
    sync_device(other.pk, control)

    admitted = [connect(device, password).admitted for password in (others_token, "", str(device.pk), token)]

    assert admitted == [False, False, False, True]


def test_password_moves_on_with_the_first_use_of_a_new_token(control: ControlChannel, connect: Connect) -> None:
    device, _, old = equipped()
    sync_device(device.pk, control)
    new = signed(issue_token(device=device, shown=False))
    unused = [sync_device(device.pk, control), connect(device, new).admitted]
    device_of_token(new)

    moved = sync_device(device.pk, control)

    assert (unused, moved) == ([False, False], True)
    assert [connect(device, old).admitted, connect(device, new).admitted] == [False, True]


def test_revoked_device_is_thrown_out_and_stays_out(control: ControlChannel, connect: Connect) -> None:
    device, _, token = equipped()
    sync_device(device.pk, control)
    pi = connect(device, token)
    services.revoke_device(device=device, actor=make_user())

    sync_device(device.pk, control)

    assert pi.ended.wait(DEADLINE_S)
    assert connect(device, token).admitted is False
    assert not BrokerAccount.objects.exists()
    assert sync_device(device.pk, control) is False


def test_new_cart_of_a_device_adds_its_topics(control: ControlChannel, connect: Connect) -> None:
    device, cart, token = equipped()
    sync_device(device.pk, control)
    before = connect(device, token)
    assert cart.controller is not None
    added = place_cart(branch=device.branch, cart_number=999, controller=cart.controller, locker_id=9)
    topic = cart_topic(device, added.pk, "unlock")
    refused = before.subscribe(topic)

    changed = sync_device(device.pk, control)

    assert (refused, changed, before.ended.wait(DEADLINE_S)) == (False, True, True)
    assert connect(device, token).subscribe(topic)


def test_cart_that_moved_away_takes_its_topics_along(control: ControlChannel, connect: Connect) -> None:
    device, cart, token = equipped()
    elsewhere = make_controller(device=make_device(branch=device.branch))
    sync_device(device.pk, control)
    place_cart(branch=device.branch, cart_number=cart.cart_number, controller=elsewhere, locker_id=0)

    sync_device(device.pk, control)

    assert connect(device, token).subscribe(cart_topic(device, cart.pk, "unlock")) is False


def test_nothing_is_sent_when_nothing_changed(control: ControlChannel, connect: Connect) -> None:
    """A change would end the session of a device that works."""
    device, _, token = equipped()
    first = sync_device(device.pk, control)
    pi = connect(device, token)

    second = [sync_device(device.pk, control), sync_all(control)]

    assert (first, second, pi.ended.is_set()) == (True, [False, 0], False)
    assert pi.subscribe(device_topic(device, "commands"))


def test_account_the_broker_has_lost_is_made_again(control: ControlChannel, connect: Connect) -> None:
    device, _, token = equipped()
    sync_device(device.pk, control)
    control.run([{"command": "deleteClient", "username": str(device.pk)}])
    lost = connect(device, token).admitted

    made = sync_all(control)

    assert (lost, made, connect(device, token).admitted) == (False, 1, True)


@pytest.mark.parametrize("state", ["prepared", "pending"])
def test_device_that_was_not_let_in_gets_no_account(control: ControlChannel, state: str) -> None:
    device = make_device(state=state)
    make_device_token(device=device)

    assert (sync_device(device.pk, control), sync_all(control)) == (False, 0)
    assert str(device.pk) not in control.usernames()


def test_refusal_by_the_broker_is_told(control: ControlChannel) -> None:
    with pytest.raises(ControlError, match="deleteClient"):
        control.run([{"command": "deleteClient", "username": "nobody-of-that-name"}])

    assert control.run([{"command": "deleteClient", "username": "nobody"}], tolerate="not found") is True


def test_devices_account_can_not_change_rights(control: ControlChannel, connect: Connect) -> None:
    device, _, token = equipped()
    sync_device(device.pk, control)
    pi = connect(device, token)

    pi.publish("$CONTROL/dynamic-security/v1", b'{"commands": [{"command": "deleteClient", "username": "bridge"}]}')

    assert "bridge" in control.usernames()


def test_channel_without_a_broker_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.mqtt.control.ANSWER_TIMEOUT_S", 0.05)
    channel = ControlChannel("mqtt://admin:x@127.0.0.1:9")

    channel.start()

    with pytest.raises(ControlError):
        channel.usernames()
    channel.stop()


def accounts_beside_a_bad_row(control: ControlChannel, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A full sync over three devices, the first of which hits a bug of ours: which have an account then?"""
    devices = [equipped()[0] for _ in range(3)]
    monkeypatch.setattr(rights, "_acls", lambda device: 1 / 0 if device == devices[0] else [])

    sync_all(control)

    return [str(device.pk) in control.usernames() for device in devices]


def test_bad_row_does_not_stop_the_others(control: ControlChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert accounts_beside_a_bad_row(control, monkeypatch) == [False, True, True]


def test_bad_row_does_not_stop_the_others_control(control: ControlChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it not caught for each, the ones behind it would get nothing."""
    monkeypatch.setattr(rights, "_sync_or_log", sync_device)

    with pytest.raises(ZeroDivisionError):
        accounts_beside_a_bad_row(control, monkeypatch)


def test_broker_that_falls_silent_ends_the_full_sync(control: ControlChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Device] = []

    def fall_silent(device: Device) -> list[dict[str, Any]]:
        asked.append(device)
        raise BrokerSilent

    for _ in range(2):
        equipped()
    monkeypatch.setattr(rights, "_acls", fall_silent)

    with pytest.raises(ControlError):
        sync_all(control)

    assert len(asked) == 1


def test_account_of_a_token_whose_key_was_dropped_is_removed(
    control: ControlChannel, connect: Connect, settings: Settings
) -> None:
    device, _, token = equipped()
    other, _, _ = equipped()
    sync_device(device.pk, control)
    settings.JWT_KEYS = {"newer": "n" * 32}
    others_token = make_device_token(device=other)

    sync_all(control)

    assert connect(device, token).admitted is False
    assert connect(other, others_token).admitted is True


def test_refused_list_of_clients_is_told(control: ControlChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_ask", lambda commands: [{"command": "listClients", "error": "not allowed"}])

    with pytest.raises(ControlError, match="not allowed"):
        sync_all(control)
