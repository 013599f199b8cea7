"""A supervisor whose folder has a space in its name, and small programs for it to look after."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.stack.process import Service
from deploy.stack.supervisor import Supervisor

DEADLINE_S = 15.0
SLEEPER = "import time; time.sleep(600)"


def wait_until(condition: Callable[[], bool], *, doing: Callable[[], None] = lambda: None) -> None:
    """Wait for `condition`, calling `doing` in between; fails after DEADLINE_S."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        doing()
        time.sleep(0.02)


def python_service(name: str, code: str, **options: object) -> Service:
    return Service(name=name, command=(sys.executable, "-c", code), **options)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's `tmp_path`: the account PostgreSQL drops to may not pass there."""
    with tempfile.TemporaryDirectory(prefix="a stack's folder ") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(folder: Path, said: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(folder, said.append)
    yield supervisor
    supervisor.stop()
