"""The whole daemon, from config.json to a moved latch, over loopback HTTP and MQTT."""

import json
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from pi_client import backoff, cloud_link
from pi_client.adapters.http_cloud import HttpCloud
from pi_client.adapters.mqtt import PahoBroker
from pi_client.adapters.simulated import SimulatedBoard, SimulatedLine
from pi_client.adapters.sqlite_store import SqliteStore
from pi_client.adapters.system_clock import SystemClock
from pi_client.app import EXIT_BROKEN, EXIT_RESTART, App
from pi_client.clock import ServerClock
from pi_client.contract import Command, CommandType, Presence, Result, Telemetry, decode, decode_device_status, encode
from pi_client.enrolment import Enrolment
from pi_client.identity import IdentityFile
from pi_client.settings import load_settings

from .mini_broker import MiniBroker, Seen
from .mini_cloud import CART_ID, DEVICE_ID, OTHER_CART_ID, MiniCloud, config

STATUS = f"cartwise/demo/BRANCH-001/devices/{DEVICE_ID}/status"
COMMANDS = f"cartwise/demo/BRANCH-001/devices/{DEVICE_ID}/commands"
CART = f"cartwise/demo/BRANCH-001/carts/{CART_ID}"


@dataclass
class World:
    """The daemon and what it talks to."""

    directory: Path
    broker: MiniBroker
    cloud: MiniCloud
    board: SimulatedBoard
    app: App | None = None
    thread: threading.Thread | None = None
    exit_code: int | None = None

    def start(self) -> None:
        path = self.directory / "config.json"
        settings = load_settings(path)
        settings.state_dir.mkdir(exist_ok=True)
        clock = SystemClock()
        server_clock = ServerClock(clock)
        http = HttpCloud(settings.api_url)
        enrolment = Enrolment(http, IdentityFile(settings.state_dir), lambda: load_settings(path), server_clock)
        self.app = App(
            settings,
            store=SqliteStore(settings.state_dir / "journal.sqlite3"),
            cloud=http,
            broker=PahoBroker(connect_timeout_s=2),
            open_line=lambda _controllers: SimulatedLine([self.board], clock),
            clock=clock,
            server_clock=server_clock,
            enrolment=enrolment,
        )

        def run() -> None:
            assert self.app is not None
            self.exit_code = self.app.run()
            http.close()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        if self.app is not None and self.thread is not None:
            self.app.stop()
            self.thread.join(10)
            assert not self.thread.is_alive()

    def configure(self, **values: Any) -> None:
        known = {
            "api_url": self.cloud.url,
            "branch_code": "BRANCH-001",
            "enrolment_code": "CODE-1",
            "mac_address": "AA:BB:CC:DD:EE:FF",
            "serial_number": "RPI-1",
            "poll_interval_s": 0.05,
        }
        (self.directory / "config.json").write_text(json.dumps(known | values))

    def births(self, state: str = "online") -> list[Presence]:
        said = [decode_device_status(payload) for topic, payload in self.broker.seen.published if topic == STATUS]
        return [word for word in said if isinstance(word, Presence) and word.state == state]

    def wait_online(self, times: int = 1) -> UUID:
        """Until the `times`-th birth; its connection id."""
        self.broker.wait(lambda _seen: len(self.births()) >= times)
        return self.births()[times - 1].connection_id

    def command(self, connection_id: UUID, kind: CommandType = CommandType.UNLOCK, **changes: Any) -> Command:
        now = datetime.now(UTC) + self.cloud.clock_offset
        values: dict[str, Any] = {
            "message_id": uuid4(),
            "sent_at": now,
            "command_id": uuid4(),
            "type": kind,
            "connection_id": connection_id,
            "issued_at": now,
            "expires_at": now + timedelta(seconds=5),
        }
        return Command(**(values | changes))

    def answers(self, topic: str, command: Command) -> list[tuple[str, str | None]]:
        said = [decode_device_status(payload) for name, payload in self.broker.seen.published if name == topic]
        return [
            (str(word.outcome), word.reason and str(word.reason))
            for word in said
            if isinstance(word, Result) and word.command_id == command.command_id
        ]

    def ask(self, command: Command, topic: str, status: str, *, retained: bool = False) -> list[Any]:
        """Send, and wait for the last word."""
        self.broker.send(topic, encode(command), retained=retained)
        self.broker.wait(lambda _seen: any(word != "acked" for word, _ in self.answers(status, command)))
        return self.answers(status, command)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(
        cloud_link, "Backoff", lambda: backoff.Backoff(first_s=0.05, longest_s=0.2, uniform=lambda low, high: high)
    )
    broker = MiniBroker("token-1")
    cloud = MiniCloud(broker.port)
    made = World(tmp_path, broker, cloud, SimulatedBoard())
    made.configure()
    yield made
    made.stop()
    cloud.close()
    broker.close()


def test_daemon_unlocks_a_cart_and_says_so_once_the_hook_has_moved(world: World) -> None:
    world.start()
    command = world.command(world.wait_online())

    answers = world.ask(command, f"{CART}/unlock", f"{CART}/status")

    assert answers == [("acked", None), ("done", None)]
    assert world.board.pulses == [0]


def test_daemon_follows_the_start_up_order(world: World) -> None:
    world.start()
    world.wait_online()

    assert world.cloud.paths() == ["register", "heartbeat"]
    assert world.broker.seen.connects == [{"client_id": str(DEVICE_ID), "username": str(DEVICE_ID), "flags": 0xCE}]
    assert world.broker.seen.subscribes == [[COMMANDS, f"{CART}/unlock", f"{CART}/lock"]]
    first_topic, first = world.broker.seen.published[0]
    assert first_topic == STATUS
    assert decode(Presence, first).state == "online"


def test_daemon_keeps_its_identity_private_and_does_not_register_twice(world: World) -> None:
    world.start()
    world.wait_online()
    world.stop()

    world.start()
    world.wait_online(2)

    assert world.cloud.paths().count("register") == 1
    saved = world.directory / "state" / "device.json"
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


def test_daemon_waits_for_approval_with_its_claim(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pi_client.enrolment.PENDING_WAIT_S", 0.05)
    world.cloud.pending = 2

    world.start()
    world.wait_online()

    claims = [body.get("claim") for _, path, body in world.cloud.requests if path.endswith("/register")]
    assert claims == [None, "claim-1", "claim-1"]


def test_daemon_reconnects_with_a_fresh_connection_id_and_the_old_one_opens_nothing(world: World) -> None:
    world.start()
    old = world.wait_online()

    world.broker.drop()
    new = world.wait_online(2)
    answers = world.ask(world.command(old), f"{CART}/unlock", f"{CART}/status")

    assert new != old
    assert answers == [("refused", "wrong_connection")]
    assert world.board.pulses == []
    assert [decode(Presence, will).connection_id for _, will in world.broker.seen.wills] == [old]


def test_daemon_says_goodbye_itself_when_it_stops(world: World) -> None:
    world.start()
    connection_id = world.wait_online()

    world.stop()

    assert [word.connection_id for word in world.births("offline")] == [connection_id]


def test_daemon_refuses_a_retained_unlock(world: World) -> None:
    world.start()
    command = world.command(world.wait_online())

    assert world.ask(command, f"{CART}/unlock", f"{CART}/status", retained=True) == [("refused", "retained")]
    assert world.board.pulses == []


def test_daemon_with_a_clock_a_day_off_goes_by_the_servers(world: World) -> None:
    world.cloud.clock_offset = timedelta(days=1)
    world.start()
    connection_id = world.wait_online()
    now = datetime.now(UTC)
    late = world.command(connection_id, expires_at=now + timedelta(hours=23), issued_at=now)

    assert world.ask(late, f"{CART}/unlock", f"{CART}/status") == [("refused", "expired")]
    assert world.ask(world.command(connection_id), f"{CART}/unlock", f"{CART}/status")[-1] == ("done", None)
    assert world.board.pulses == [0]


def test_daemon_survives_hostile_messages(world: World) -> None:
    world.start()
    connection_id = world.wait_online()
    for payload in (b"", b"\xff\xfe", b"[" * 100_000, b"x" * 200_000, b'{"v":1}', b"null"):
        for topic in (f"{CART}/unlock", COMMANDS):
            world.broker.send(topic, payload)

    answers = world.ask(world.command(connection_id), f"{CART}/unlock", f"{CART}/status")

    assert answers[-1] == ("done", None)
    assert world.app is not None
    world.broker.wait(lambda _seen: world.app.counters["mqtt_malformed"] == 12)


def test_daemon_applies_a_new_configuration_without_restart(world: World) -> None:
    world.start()
    connection_id = world.wait_online()
    world.cloud.config = config(2, CART_ID, OTHER_CART_ID)
    other = f"cartwise/demo/BRANCH-001/carts/{OTHER_CART_ID}"

    applied = world.ask(world.command(connection_id, CommandType.APPLY_CONFIG), COMMANDS, STATUS)
    world.broker.wait(lambda seen: [f"{other}/unlock", f"{other}/lock"] in seen.subscribes)
    answers = world.ask(world.command(connection_id), f"{other}/unlock", f"{other}/status")

    assert applied == [("acked", None), ("done", None)]
    assert answers[-1] == ("done", None)
    assert world.board.pulses == [1]
    assert len(world.births()) == 1


def test_daemon_renews_its_token_when_only_the_broker_refuses_it(world: World) -> None:
    world.broker.passwords = {"token-1+"}

    world.start()
    world.wait_online()

    assert "token" in world.cloud.paths()


def test_daemon_with_a_revoked_token_lives_on_and_enrols_with_a_new_code(world: World) -> None:
    world.start()
    world.wait_online()
    world.cloud.token, world.cloud.codes = "token-2", {"CODE-2"}
    world.broker.passwords = {"token-2"}
    world.broker.drop()
    world.cloud.wait(lambda cloud: cloud.paths().count("heartbeat") >= 4)
    assert world.cloud.paths().count("register") == 1

    world.configure(enrolment_code="CODE-2")
    world.wait_online(2)

    assert world.cloud.paths().count("register") == 2


def test_daemon_takes_late_commands_from_the_heartbeat_but_never_an_unlock(world: World) -> None:
    unlock = world.command(uuid4(), CommandType.UNLOCK)
    again = world.command(uuid4(), CommandType.APPLY_CONFIG)
    # A heartbeat's commands lack what only makes sense on MQTT.
    envelope = ("v", "message_id", "sent_at", "connection_id")
    world.cloud.late_commands = [
        {name: value for name, value in json.loads(encode(one)).items() if name not in envelope}
        for one in (unlock, again)
    ]

    world.start()
    world.wait_online()
    world.broker.wait(lambda _seen: ("done", None) in world.answers(STATUS, again))

    assert world.answers(STATUS, again)[-1] == ("done", None)
    assert world.answers(STATUS, unlock)[-1] == ("refused", "unsupported")
    assert world.board.pulses == []


def test_daemon_restarts_when_asked_after_answering(world: World) -> None:
    world.start()
    command = world.command(world.wait_online(), CommandType.RESTART)

    answers = world.ask(command, COMMANDS, STATUS)
    assert world.thread is not None
    world.thread.join(10)

    assert answers == [("acked", None), ("done", None)]
    assert world.exit_code == EXIT_RESTART


@pytest.mark.parametrize("kind", [CommandType.OPEN_DOOR, CommandType.RELEASE_EGRESS, CommandType.INSTALL_FIRMWARE])
def test_daemon_refuses_what_it_cannot_do(world: World, kind: CommandType) -> None:
    world.start()

    assert world.ask(world.command(world.wait_online(), kind), COMMANDS, STATUS) == [("refused", "unsupported")]


def test_daemon_sends_telemetry(world: World) -> None:
    world.start()

    def told(seen: Seen) -> bool:
        batches = [decode(Telemetry, payload) for topic, payload in seen.published if topic.endswith("/telemetry")]
        return any(event.event_type == "device_health" for batch in batches for event in batch.events)

    world.broker.wait(told)


def test_daemon_subscribes_to_many_carts_eight_at_a_time(world: World) -> None:
    world.cloud.config = config(1, *(UUID(int=1000 + number) for number in range(10)))

    world.start()
    world.wait_online()

    assert [len(part) for part in world.broker.seen.subscribes] == [8, 8, 5]


def test_daemon_with_a_denied_cart_topic_serves_the_others(world: World) -> None:
    world.cloud.config = config(1, CART_ID, OTHER_CART_ID)
    world.broker.denied = {f"cartwise/demo/BRANCH-001/carts/{OTHER_CART_ID}/unlock"}

    world.start()

    assert world.ask(world.command(world.wait_online()), f"{CART}/unlock", f"{CART}/status")[-1] == ("done", None)


def test_daemon_with_a_dead_thread_ends_so_that_it_is_started_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _arguments: None)
    world.start()
    world.wait_online()
    assert world.app is not None
    assert world.thread is not None

    def fail() -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(next(iter(world.app._buses.values())), "turn", fail)
    world.thread.join(10)

    assert world.exit_code == EXIT_BROKEN


def test_daemon_voids_commands_of_a_connection_whose_journal_was_lost(world: World) -> None:
    world.start()
    old = world.wait_online()
    assert world.app is not None
    store = world.app._store

    store.recreated += 1
    world.app._due["store"] = 0.0
    new = world.wait_online(2)

    assert new != old
    assert world.ask(world.command(old), f"{CART}/unlock", f"{CART}/status") == [("refused", "wrong_connection")]


def test_program_serves_simulated_boards_and_its_lan_api_until_it_is_told_to_stop(world: World) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = "sixteen-characters-or-more"
    world.configure(lan_api={"bind": "127.0.0.1", "port": port, "token": token})
    program = subprocess.Popen(
        [sys.executable, "-m", "pi_client", "--config", str(world.directory / "config.json"), "--simulate"],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    try:
        command = world.command(world.wait_online())
        answers = world.ask(command, f"{CART}/unlock", f"{CART}/status")
        pages = {
            page: httpx.get(f"http://127.0.0.1:{port}/api/{page}", headers={"Authorization": f"Bearer {token}"}).json()
            for page in ("status", "occupancy", "stats")
        }
    finally:
        program.terminate()
        code = program.wait(10)

    assert answers == [("acked", None), ("done", None)]
    assert pages["status"]["mqtt"] == "connected"
    assert pages["occupancy"]["unlocked"] == 1
    assert pages["stats"]["counters"]["commands_done"] == 1
    assert code == 0


def test_daemon_obeys_a_cancel_that_overtakes_its_command(world: World) -> None:
    world.start()
    connection_id = world.wait_online()
    unlock = world.command(connection_id)
    cancel = world.command(connection_id, CommandType.CANCEL, args={"command_id": str(unlock.command_id)})

    assert world.ask(cancel, COMMANDS, STATUS)[-1] == ("done", None)
    assert world.ask(unlock, f"{CART}/unlock", f"{CART}/status") == [("refused", "cancelled")]
    assert world.ask(world.command(connection_id, CommandType.CANCEL), COMMANDS, STATUS)[-1] == ("failed", "busy")
    assert world.board.pulses == []


def test_daemon_that_never_heard_the_servers_clock_connects_but_opens_nothing(world: World) -> None:
    world.start()
    world.wait_online()
    world.stop()
    handle = world.cloud.handle
    world.cloud.handle = lambda *arguments: (500, {}) if "heartbeat" in arguments[1] else handle(*arguments)  # type: ignore[method-assign]

    world.start()
    command = world.command(world.wait_online(2))

    assert world.ask(command, f"{CART}/unlock", f"{CART}/status") == [("refused", "clock_unknown")]
    assert world.board.pulses == []
