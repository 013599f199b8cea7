"""A whole stack for one measurement, started as `make up` does, with a line and a Pi of the bench's own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.stack.application import BOARDS, DEMO_BRANCH, DEMO_DEVICE, SERIAL_PORT
from deploy.stack.layout import HOST, ROOT, Layout, Ports, write_private
from deploy.stack.process import Service
from deploy.stack.supervisor import Supervisor

# What would lead to another stack: a measurement touches only its own.
FOREIGN = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "MQTT_URL", "MQTT_ADMIN_URL", "VAR_DIR", "PORT")


class NotInTime(Exception):
    """Something did not happen within its deadline."""


@dataclass(frozen=True)
class Stack:
    """A running stack and the line its Pi drives."""

    folder: Path
    web: str
    rs485: str
    environment: Mapping[str, str]


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder on a real disk that PostgreSQL's account can pass through; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="cartwise-bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    """Everything `make up` starts, on free ports. Starts processes: call it before any thread."""
    supervisor = Supervisor(folder, say=lambda line: print(f"  {line}", file=sys.stderr))
    ports = Ports(folder / "bench-ports.json")
    try:
        supervisor.start(stack_service(folder, ports.reserve("web"), SIMULATED_PI="0"))
        run = json.loads(Layout(folder).run_file.read_text())
        rs485 = f"http://{HOST}:{ports.reserve('line')}"
        supervisor.start(_line(folder, rs485))
        supervisor.start(_pi(folder, run))
        yield Stack(folder, run["web"], rs485, run["environment"])
    except BaseException:
        _show_logs(folder)
        raise
    finally:
        supervisor.stop()


def stack_service(folder: Path, port: int, **variables: str) -> Service:
    """`deploy.stack up` in `folder`; ready when it has said where it is."""
    # One address asks as many people would.
    environment = {**dict.fromkeys(FOREIGN, ""), "VAR_DIR": str(folder), "PORT": str(port), "RATE_LIMIT_FACTOR": "1000"}
    return Service(
        name="stack",
        command=(sys.executable, "-m", "deploy.stack", "up"),
        environment={**environment, **variables},
        ready=lambda: "Ctrl-C stops" in _text(folder / "stack.log"),
        ready_within=180.0,
        stop_within=60.0,
    )


def wait_for(what: str, condition: Callable[[], bool], within_s: float = 60.0) -> None:
    """Raises `NotInTime` naming `what`."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise NotInTime(f"{what}: not within {within_s:g} s")
        time.sleep(0.02)


def _line(folder: Path, url: str) -> Service:
    ready = folder / "line.ready"
    command: tuple[str, ...] = (
        sys.executable,
        "-m",
        "bench.line",
        "--link",
        str(folder / "line"),
        "--board",
        BOARDS[0],
    )
    command += ("--http", url.removeprefix("http://"), "--ready-file", str(ready))
    return Service(name="line", command=command, ready_file=ready)


def _pi(folder: Path, run: Mapping[str, Any]) -> Service:
    """A Pi enrolled as the demo's, so that it serves the demo's carts."""
    manage = (sys.executable, "manage.py", "create_enrolment_code", "--branch", DEMO_BRANCH, "--device", DEMO_DEVICE)
    home = folder / "bench-pi"
    home.mkdir()
    configuration = {
        "api_url": run["web"],
        "branch_code": DEMO_BRANCH,
        "enrolment_code": _output(manage, run["environment"]),
        "mac_address": "02:00:00:00:00:0B",
        "serial_number": "BENCH-1",
        "state_dir": "state",
        "port_overrides": {SERIAL_PORT: str(folder / "line")},
    }
    write_private(home / "config.json", json.dumps(configuration))
    return Service(name="pi", command=(sys.executable, "-m", "pi_client", "--config", str(home / "config.json")))


def _output(command: tuple[str, ...], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )
    done.check_returncode()
    return done.stdout.strip()


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _show_logs(folder: Path) -> None:
    for log in sorted([*folder.glob("*.log"), *folder.glob("log/*.log")]):
        print(f"-- {log.name}", *_text(log).splitlines()[-5:], sep="\n", file=sys.stderr)
