"""Brokers of a test's own, which it may stop and start."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack.broker import Broker, find_mosquitto
from deploy.stack.layout import Ports
from deploy.stack.supervisor import Supervisor


class OwnBroker:
    """A broker this test may kill and start again; its accounts survive that."""

    def __init__(self, home: Path, *, amqtt: bool) -> None:
        self.broker = Broker(
            home=home / "broker",
            port=Ports(home / "ports.json").reserve("broker"),
            admin_password="admin-password",
            bridge_password="bridge-password",
            mosquitto=None if amqtt else find_mosquitto(),
        )
        self._home = home
        self._supervisor: Supervisor | None = None

    def start(self) -> None:
        self._supervisor = Supervisor(self._home, say=lambda line: None)
        self._supervisor.start(self.broker.service())

    def kill(self) -> None:
        """As a power cut would: no last will is told, no session is closed."""
        assert self._supervisor is not None
        os.kill(self._supervisor.pids["broker"], signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None


@pytest.fixture(params=["mosquitto", "amqtt"])
def either_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """The same promises hold with both brokers."""
    if request.param == "mosquitto" and find_mosquitto() is None:
        pytest.skip("mosquitto is not installed")
    own = OwnBroker(tmp_path, amqtt=request.param == "amqtt")
    own.start()
    try:
        yield own.broker
    finally:
        own.stop()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[OwnBroker]:
    """The broker this machine has; started, and stopped in the end."""
    own = OwnBroker(tmp_path, amqtt=find_mosquitto() is None)
    own.start()
    try:
        yield own
    finally:
        own.stop()
