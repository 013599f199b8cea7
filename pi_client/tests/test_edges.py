"""The edges: configuration files, the LAN API, a pty as serial port, the service manager, MQTT and HTTP sockets."""

import http.client
import json
import logging
import os
import pty
import socket
import stat
import tty
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from pi_client.adapters.http_cloud import HttpCloud
from pi_client.adapters.mqtt import PahoBroker
from pi_client.adapters.serial_line import PortLine
from pi_client.adapters.systemd import Notifier
from pi_client.identity import IdentityFile, read_identity
from pi_client.lan_api import LanApi
from pi_client.main import EXIT_CONFIG, main
from pi_client.ports import BrokerUnreachable, CloudUnreachable, CredentialsRefused, LineError, MqttSettings
from pi_client.settings import LanApiSettings, SettingsError, load_settings
from pi_client.site import SiteError, Topics, read_site

from .mini_broker import MiniBroker
from .mini_cloud import CART_ID, CONTROLLER_ID, DEVICE_ID, MiniCloud, config

GOOD = {
    "api_url": "https://cloud.example/",
    "branch_code": "B",
    "mac_address": "aa-bb-cc-dd-ee-ff",
    "serial_number": "1",
}


def _write(tmp_path: Path, value: Any) -> Path:
    path = tmp_path / "config.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_settings_are_read_with_defaults(tmp_path: Path) -> None:
    settings = load_settings(_write(tmp_path, GOOD | {"port_overrides": {"/dev/ttyUSB0": "/tmp/pty"}}))

    assert settings.api_url == "https://cloud.example"
    assert settings.mac_address == "AA:BB:CC:DD:EE:FF"
    assert settings.state_dir == tmp_path / "state"
    assert settings.port_overrides == {"/dev/ttyUSB0": "/tmp/pty"}


@pytest.mark.parametrize(
    "value",
    [
        "{",
        "[]",
        "[" * 100_000,
        {},
        GOOD | {"api_url": "ftp://x"},
        GOOD | {"mac_address": "nonsense"},
        GOOD | {"simulate": "yes"},
        GOOD | {"poll_interval_s": 0},
        GOOD | {"log_level": "LOUD"},
        GOOD | {"port_overrides": []},
        GOOD | {"lan_api": {"token": "short"}},
        GOOD | {"lan_api": {}},
    ],
)
def test_wrong_settings_are_named_and_end_the_start(
    tmp_path: Path, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _write(tmp_path, value)

    with pytest.raises(SettingsError):
        load_settings(path)
    assert main(["--config", str(path)]) == EXIT_CONFIG
    assert "config.json" in capsys.readouterr().err


def test_example_configuration_is_valid(tmp_path: Path) -> None:
    example = json.loads((Path(__file__).parents[1] / "config.example.json").read_text())

    assert load_settings(_write(tmp_path, example | {"mac_address": "AA:BB:CC:DD:EE:FF"})).lan_api is not None


def test_site_leaves_out_what_makes_no_sense_and_keeps_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    value = config()
    value["controllers"] += [{"id": "x"}, value["controllers"][0] | {"id": str(uuid4()), "protocol": "morse"}, None]
    value["carts"] += [
        {"id": str(uuid4()), "cart_number": 2, "controller_id": str(uuid4()), "locker_id": 1},
        {"id": str(uuid4()), "cart_number": 3, "controller_id": str(CONTROLLER_ID), "locker_id": 99},
        7,
    ]

    with caplog.at_level(logging.WARNING):
        site = read_site(value)

    assert [cart.id for cart in site.carts] == [CART_ID]
    assert len(site.controllers) == 1
    assert len(site.rejected) == 6


@pytest.mark.parametrize("value", [None, [], {}, {"version": True}, {"version": 1, "carts": {}}])
def test_site_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(SiteError):
        read_site(value)


def test_topics_come_from_the_registered_base() -> None:
    assert Topics.from_base(f"cartwise/a/b/devices/{DEVICE_ID}") == Topics("a", "b", DEVICE_ID)
    with pytest.raises(SiteError):
        Topics.from_base("cartwise/a/b/devices/x")


def test_identity_file_is_private_and_reads_back(tmp_path: Path) -> None:
    cloud = MiniCloud(1)
    _, answer = cloud._register({"enrolment_code": "CODE-1"})
    cloud.close()
    identity = read_identity(answer, enrolled_with="x")
    file = IdentityFile(tmp_path)

    file.save(identity)

    assert file.load() == identity
    assert stat.S_IMODE((tmp_path / "device.json").stat().st_mode) == 0o600
    assert "token-1" not in repr(identity)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"device_id": 1}'])
def test_damaged_identity_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "device.json").write_text(text)

    assert IdentityFile(tmp_path).load() is None


@pytest.fixture
def lan_api() -> Iterator[LanApi]:
    pages = {"/api/status": lambda: {"mqtt": "connected"}}
    api = LanApi(LanApiSettings("127.0.0.1", 0, "a-long-enough-token"), pages)
    api.start()
    yield api
    api.stop()


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", "/api/status", "a-long-enough-token", 200),
        ("GET", "/api/status?x=1", "a-long-enough-token", 200),
        ("GET", "/api/status", "another", 401),
        ("GET", "/api/status", None, 401),
        ("GET", "/api/else", "a-long-enough-token", 404),
        ("POST", "/api/status", "a-long-enough-token", 501),
        ("GET", "/" + "x" * 70_000, "a-long-enough-token", 414),
    ],
)
def test_lan_api_answers_who_knows_the_token(
    lan_api: LanApi, method: str, path: str, token: str | None, status: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", lan_api.port, timeout=5)
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    connection.request(method, path, headers=headers)
    response = connection.getresponse()

    assert response.status == status
    if status == 200:
        assert json.loads(response.read()) == {"mqtt": "connected"}
    connection.close()


def test_lan_api_closes_what_is_too_much(lan_api: LanApi) -> None:
    idle = [socket.create_connection(("127.0.0.1", lan_api.port), timeout=5) for _ in range(9)]

    # The ninth is closed at once; which one that is depends on nothing but the order they were accepted in.
    assert idle[-1].recv(1) == b""
    for connection in idle:
        connection.close()


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(master)
    os.close(slave)


def test_port_line_talks_over_a_pty_even_when_asked_for_rs485_mode(terminal: tuple[int, str]) -> None:
    master, name = terminal
    line = PortLine(name, 19200, rs485_mode=True)

    line.write(b"\x02\x00\x30\x03\x35")
    assert os.read(master, 16) == b"\x02\x00\x30\x03\x35"
    os.write(master, b"stale")
    line.discard()
    assert line.read(0.01) == b""
    os.write(master, b"fresh")
    assert line.read(1) == b"fresh"
    line.close()


def test_port_line_is_exclusive(terminal: tuple[int, str]) -> None:
    line = PortLine(terminal[1], 19200)

    with pytest.raises(LineError):
        PortLine(terminal[1], 19200)
    line.close()


def test_port_line_without_a_port_is_a_line_error() -> None:
    with pytest.raises(LineError):
        PortLine("/dev/does-not-exist", 19200)


def test_notifier_tells_the_service_manager(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(5)

        Notifier(address).send("READY=1", "WATCHDOG=1")

        assert manager.recv(100) == b"READY=1\nWATCHDOG=1"


def test_notifier_without_a_manager_is_silent(tmp_path: Path) -> None:
    Notifier("").send("READY=1")
    Notifier(str(tmp_path / "nobody")).send("READY=1")


class Ignore:
    def on_message(self, topic: str, payload: bytes, retained: bool) -> None: ...
    def on_published(self, message: int) -> None: ...
    def on_lost(self, why: str) -> None: ...


def _settings(port: int) -> MqttSettings:
    return MqttSettings("127.0.0.1", port, False, "me", "me", f"cartwise/a/b/devices/{UUID(int=1)}")


def test_mqtt_socket_has_no_delay() -> None:
    broker = MiniBroker("token")
    connection = PahoBroker().connect(_settings(broker.port), password="token", will=("w", b"w"), listener=Ignore())

    wire = connection._client.socket()
    assert wire is not None
    assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    connection.close()
    broker.close()


def test_broker_that_refuses_the_password_and_one_that_is_not_there_are_told_apart() -> None:
    broker = MiniBroker("token")
    with pytest.raises(CredentialsRefused):
        PahoBroker().connect(_settings(broker.port), password="wrong", will=("w", b"w"), listener=Ignore())
    broker.close()

    with pytest.raises(BrokerUnreachable):
        PahoBroker().connect(_settings(broker.port), password="token", will=("w", b"w"), listener=Ignore())


def test_denied_filters_are_named() -> None:
    broker = MiniBroker("token")
    broker.denied = {"b", "j"}
    connection = PahoBroker().connect(_settings(broker.port), password="token", will=("w", b"w"), listener=Ignore())

    assert connection.subscribe(list("abcdefghij")) == ["b", "j"]
    connection.close()
    broker.close()


def test_cloud_answers_that_are_no_answers_are_unreachable() -> None:
    cloud = MiniCloud(1)
    http = HttpCloud(cloud.url)
    answers = iter([(200, []), (500, {}), (302, {}), (200, {"x": "y" * 2_000_000})])
    cloud.handle = lambda *_arguments: next(answers)  # type: ignore[assignment,method-assign]

    for _ in range(4):
        with pytest.raises(CloudUnreachable):
            http.heartbeat(DEVICE_ID, "token-1", {})
    cloud.close()
    http.close()


def test_cloud_http_socket_has_no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[tuple[int, ...]] = []
    original = socket.socket.setsockopt

    class Watched(socket.socket):
        def setsockopt(self, *arguments: Any) -> None:
            options.append(arguments)
            original(self, *arguments)

    cloud = MiniCloud(1)
    monkeypatch.setattr(socket, "socket", Watched)
    http = HttpCloud(cloud.url)
    http.heartbeat(DEVICE_ID, "token-1", {})

    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in options
    http.close()
    monkeypatch.undo()
    cloud.close()
