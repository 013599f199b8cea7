"""TCP_NODELAY on every leg of an unlock: without it a small message waits for the other side's delayed ACK, 40 ms."""

import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import uvicorn
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.core.cache import cache
from django.db import connection

from conftest import MqttBroker
from core.tests.race import wait_for
from deploy.stack.broker import Broker, Mosquitto
from devices.mqtt.connection import client_from_url
from pi_client.adapters.http_cloud import HttpCloud
from pi_client.adapters.mqtt import PahoBroker
from pi_client.ports import CloudUnreachable, MqttSettings


def nodelay_of(port: int) -> list[bool]:
    """Of each TCP connection of this process to or from `port`, whether TCP_NODELAY is set."""
    found = []
    for descriptor in range(3, 1024):
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as copy:
                if port in (copy.getpeername()[1], copy.getsockname()[1]):
                    found.append(bool(copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        except (OSError, IndexError):
            continue  # closed, listening, or not an internet socket
    return found


@contextmanager
def quiet_listener() -> Iterator[int]:
    """The port of a server that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def web_port() -> Iterator[int]:
    """The web process's own server, uvicorn as `make up` starts it, in front of an application that answers 404."""

    async def nothing(scope: dict[str, object], receive: object, send: object) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await receive()
            await send({"type": "websocket.accept"})
            await receive()

    server = uvicorn.Server(uvicorn.Config(nothing, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started, "uvicorn")
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def test_plain_connection_has_none_control() -> None:
    """What the system gives without asking would fail every test below."""
    with quiet_listener() as port, socket.create_connection(("127.0.0.1", port)):
        assert nodelay_of(port) == [False]


def test_bridge_to_broker(mqtt_broker: MqttBroker) -> None:
    client, host, port = client_from_url(mqtt_broker.url, f"nodelay-{uuid4()}", clean_session=True)

    client.connect(host, port)

    assert nodelay_of(port) == [True]
    client.disconnect()
    client.loop()


def test_pi_to_broker(mqtt_broker: MqttBroker) -> None:
    account = urlsplit(mqtt_broker.url)
    settings = MqttSettings(
        broker=mqtt_broker.host,
        port=mqtt_broker.port,
        tls=False,
        client_id=f"nodelay-{uuid4()}",
        username=account.username or "",
        topic="",
    )
    listener = SimpleNamespace(on_message=print, on_published=print, on_lost=print)
    will = ("cartwise/nodelay/will", b"{}")

    line = PahoBroker().connect(settings, password=account.password or "", will=will, listener=listener)

    assert nodelay_of(mqtt_broker.port) == [True]
    line.close()


def test_mosquitto_is_told(tmp_path: Path) -> None:
    mosquitto = Mosquitto(binary=Path("/usr/sbin/mosquitto"), plugin=Path("/usr/lib/plugin.so"))

    Broker(home=tmp_path, port=1, admin_password="a", bridge_password="b", mosquitto=mosquitto).service()

    assert "set_tcp_nodelay true" in (tmp_path / "mosquitto.conf").read_text().splitlines()


def test_web_and_the_pis_http(web_port: int) -> None:
    cloud = HttpCloud(f"http://127.0.0.1:{web_port}")

    with pytest.raises(CloudUnreachable):
        cloud.config(uuid4(), "token")

    # The Pi's end and the accepted one.
    assert nodelay_of(web_port) == [True, True]
    cloud.close()


def test_websocket_end_of_the_web(web_port: int) -> None:
    with socket.create_connection(("127.0.0.1", web_port), timeout=5) as page:
        page.sendall(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = page.recv(4096)

        assert answer.startswith(b"HTTP/1.1 101")
        # This end is a plain socket; the server's is not.
        assert sorted(nodelay_of(web_port)) == [False, True]


@pytest.mark.django_db
def test_postgresql() -> None:
    connection.ensure_connection()

    assert set(nodelay_of(int(connection.settings_dict["PORT"]))) == {True}


def test_redis_of_cache_and_pushes(redis_url: str) -> None:
    cache.set("nodelay", 1)
    async_to_sync(get_channel_layer().group_send)("nodelay", {"type": "nothing"})

    assert set(nodelay_of(urlsplit(redis_url).port or 6379)) == {True}
