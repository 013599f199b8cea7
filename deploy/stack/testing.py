"""The servers tests run against: started once per pytest run on free ports, in a folder that goes away with them.

The root `conftest.py` calls `ensure_servers()` before Django reads its settings. Under xdist the controller starts them
and the workers find them in the environment; each worker has its own database, Redis numbers and key prefix.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from deploy.stack.layout import Layout
from deploy.stack.postgres import VOLATILE
from deploy.stack.servers import Servers
from deploy.stack.supervisor import Supervisor

MARK, SET_HERE = "CARTWISE_TEST_SERVERS", "CARTWISE_TEST_VARIABLES"
APP_LOGIN = "CARTWISE_TEST_APP_DATABASE_URL"
SETTINGS = {
    "SMS_GATEWAY": "inforu",
    # Nobody listens there: a test that sends has a gateway of its own.
    "SMS_BASE_URL": "http://127.0.0.1:9",
    "SMS_USER": "test",
    "SMS_API_KEY": "test",
    "SMS_SENDER": "Test",
    "PUBLIC_URL": "http://testserver",
    "ALLOWED_HOSTS": "testserver,127.0.0.1,localhost",
    # Tests ask by the thousand, from one address; those of the limits set their own.
    "RATE_LIMIT_FACTOR": "1000",
}
ADDRESSES = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "MQTT_URL", "MQTT_ADMIN_URL")
# Each worker has two Redis numbers (cache and Celery), of the embedded server's 64.
MAX_WORKERS = 30


def ensure_servers() -> None:
    """Start the servers unless a parent process has, and put their addresses into this process's environment."""
    if MARK not in os.environ:
        _start()
    worker = worker_number()
    assert worker < MAX_WORKERS
    redis = os.environ["REDIS_URL"].rpartition("/")[0]
    os.environ["REDIS_URL"], os.environ["CELERY_BROKER_URL"] = f"{redis}/{2 * worker}", f"{redis}/{2 * worker + 1}"
    os.environ["REDIS_KEY_PREFIX"] = f"test-{worker}"
    os.environ["VAR_DIR"] = f"{os.environ[MARK]}/worker-{worker}"
    Path(os.environ["VAR_DIR"]).mkdir(exist_ok=True)


def worker_number() -> int:
    """0 without xdist and in its controller, 1 and up in its workers."""
    name = os.environ.get("PYTEST_XDIST_WORKER", "")
    return int(name.removeprefix("gw")) + 1 if name else 0


def shared_folder() -> Path:
    """The folder of this run, the same in all its processes."""
    return Path(os.environ[MARK])


def outside_environment() -> dict[str, str]:
    """The environment pytest was called with, without the test servers: for tests that start a whole stack."""
    added = {*os.environ[SET_HERE].split(","), SET_HERE, "REDIS_KEY_PREFIX", "VAR_DIR", "DJANGO_SETTINGS_MODULE"}
    return {name: value for name, value in os.environ.items() if name not in added}


def _start() -> None:
    # Never the servers of a running stack, whatever the shell says.
    given = {name: value for name, value in os.environ.items() if name not in ADDRESSES}
    folder = Path(tempfile.mkdtemp(prefix="cartwise-test-"))
    # PostgreSQL's account has to pass.
    folder.chmod(0o711)
    layout = Layout(var=folder)
    layout.create()
    supervisor = Supervisor(layout.logs, say=lambda line: None)
    # Also stops them when pytest itself breaks; SIGKILL is the kernel's to pass on.
    atexit.register(_clean_up, supervisor, folder)
    servers = Servers.plan(layout, given, postgres_settings=VOLATILE)
    supervisor.start(*servers.services())
    assert servers.cluster is not None
    servers.create_database()
    # Tests run as the owner, who makes their databases; those about rights sign in as the application.
    chosen = servers.environment({}) | SETTINGS | {MARK: str(folder), APP_LOGIN: servers.cluster.app_url}
    os.environ.update(chosen)
    os.environ[SET_HERE] = ",".join(chosen)


def _clean_up(supervisor: Supervisor, folder: Path) -> None:
    supervisor.stop()
    shutil.rmtree((folder / "postgres").resolve(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
