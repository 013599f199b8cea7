"""A whole stack of its own, started the way a person starts it, for tests that want everything real."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.stack.testing import outside_environment

PROJECT = Path(__file__).resolve().parent.parent
START_WITHIN_S = 90.0
STOP_WITHIN_S = 30.0


@dataclass(frozen=True)
class RunningStack:
    """Addresses of a stack that runs, as `run.json` gives them."""

    var: Path
    run: dict[str, Any]
    output: Path

    def manage(self, *arguments: str) -> str:
        """Output of a management command on this stack."""
        command = [sys.executable, "-m", "deploy.stack", "manage", *arguments]
        environment = _environment(self.var)
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.strip()


@contextmanager
def running_stack(**settings: str) -> Iterator[RunningStack]:
    """Start a stack on free ports, in a folder with a space in its name; stop it and drop the folder at the end.

    `settings` are environment variables. Not pytest's `tmp_path`: the account PostgreSQL drops to may not pass there.
    """
    with tempfile.TemporaryDirectory(prefix="cartwise stack ") as name:
        Path(name).chmod(0o711)
        with _started(Path(name), settings) as stack:
            yield stack


@contextmanager
def _started(var: Path, settings: dict[str, str]) -> Iterator[RunningStack]:
    output = var / "output.txt"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.stack", "up"],
            cwd=PROJECT,
            env={**_environment(var), **settings},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: "Ctrl-C stops" in output.read_text() or process.poll() is not None, within_s=START_WITHIN_S)
        assert process.poll() is None, output.read_text()
        yield RunningStack(var=var, run=json.loads((var / "run.json").read_text()), output=output)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_WITHIN_S)


def wait_until(condition: Callable[[], Any], *, within_s: float = 10.0) -> Any:
    """The first true value of a condition; an assertion when it stays false."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"still not so after {within_s} s: {condition}")


def _environment(var: Path) -> dict[str, str]:
    return {**outside_environment(), "VAR_DIR": str(var)}
