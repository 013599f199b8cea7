"""A simulator as a child process, and a host's end of its bus."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).parents[2]
DEADLINE_S = 10.0
# Long enough for an answer at zero wire time to have come, if one were coming.
SILENCE_S = 0.05

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str) -> T:
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        select.select([], [], [], 0.005)
    return value


@contextmanager
def run(module: str, folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str]]]:
    ready = folder / "ready.json"
    command = [sys.executable, "-m", module, "--ready-file", str(ready), "--exit-with-parent", *arguments]
    with (folder / "stdout.log").open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: ready.exists() or process.poll() is not None, "the ready file")
            assert process.poll() is None, (folder / "stdout.log").read_text()
            yield process, json.loads(ready.read_text())
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


class Host:
    """The other end of the bus: raw bytes in and out."""

    def __init__(self, link: str) -> None:
        self.descriptor = os.open(link, os.O_RDWR | os.O_NOCTTY)

    def close(self) -> None:
        os.close(self.descriptor)

    def send(self, text: str) -> None:
        os.write(self.descriptor, bytes.fromhex(text))

    def read(self, count: int) -> str:
        """That many bytes, as spaced hex in capitals; fewer when the line falls silent for a second."""
        found = b""
        while len(found) < count and select.select([self.descriptor], [], [], 1)[0]:
            found += os.read(self.descriptor, count - len(found))
        return found.hex(" ").upper()

    def read_until_silence(self) -> str:
        found = b""
        while select.select([self.descriptor], [], [], SILENCE_S)[0]:
            found += os.read(self.descriptor, 4096)
        return found.hex(" ").upper()

    def ask(self, text: str, count: int) -> str:
        self.send(text)
        return self.read(count)


class Bench:
    """A running bus, its control API and a host."""

    def __init__(self, process: subprocess.Popen[bytes], http: httpx.Client, link: str) -> None:
        self.process = process
        self.http = http
        self.link = link
        self.host = Host(link)

    def hear(self, text: str) -> str:
        """What comes back until the line falls silent, as from when the bus has read what was sent."""
        before = self._read_so_far()
        self.host.send(text)
        wait_for(lambda: self._read_so_far() >= before + len(bytes.fromhex(text)), "the frame to be read")
        return self.host.read_until_silence()

    def _read_so_far(self) -> int:
        return int(self.http.get("/state").json()["counters"].get("host_bytes", 0))

    def events(self, name: str | None = None, since: int = 0) -> list[dict[str, Any]]:
        found = self.http.get("/log", params={"since": since}).json()
        return [event for event in found if name in (None, event["event"])]

    def last_event(self) -> int:
        return max((event["n"] for event in self.events()), default=0)

    def fault(self, kind: str, **fields: object) -> None:
        response = self.http.post("/faults", json={"kind": kind, **fields})
        assert response.status_code == 200, response.text

    def lock(self, board: int, number: int) -> dict[str, Any]:
        boards = {each["address"]: each for each in self.http.get("/state").json()["boards"]}
        return next(lock for lock in boards[board]["locks"] if lock["number"] == number)

    def move(self, board: int, number: int, verb: str) -> httpx.Response:
        return self.http.post(f"/boards/{board}/locks/{number}/{verb}")


@contextmanager
def run_bus(folder: Path, *arguments: str) -> Iterator[Bench]:
    link = folder / "bus"
    with (
        run("simulators.rs485", folder, "--link", str(link), *arguments) as (process, ready),
        httpx.Client(base_url=ready["http"], timeout=5) as http,
    ):
        bench = Bench(process, http, ready["pty"])
        try:
            yield bench
        finally:
            bench.host.close()
