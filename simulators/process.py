"""How a simulator lives as a process: it says when it is ready, and stops when told to or when its parent dies."""

import argparse
import json
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARENT_CHECK_S = 0.5


class StopSignal:
    """Set once by SIGTERM, SIGINT or a watcher.

    A pipe, so that a signal handler may set it and `select` may wait for it.
    """

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)

    def set(self) -> None:
        try:
            os.write(self._write_end, b"\0")
        except BlockingIOError:
            pass  # a full pipe was set long ago

    def fileno(self) -> int:
        """Readable, and never read from, once set."""
        return self._read_end

    def wait(self) -> None:
        select.select([self._read_end], [], [])

    def on_signals(self) -> None:
        """Take over SIGTERM and SIGINT; only from the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.set())

    def on_parent_death(self) -> None:
        """Set within a second of the parent's end.

        Not PR_SET_PDEATHSIG: that fires when the *thread* that started us ends.
        """
        parent = os.getppid()

        def watch() -> None:
            while os.getppid() == parent:
                if select.select([self._read_end], [], [], PARENT_CHECK_S)[0]:
                    return
            self.set()

        threading.Thread(target=watch, name="parent-watch", daemon=True).start()


@contextmanager
def ready_file(path: Path | None, content: dict[str, str]) -> Iterator[None]:
    """Keep `content` as JSON at `path` while the body runs; readers see all of it or no file."""
    if path is None:
        yield
        return
    text = json.dumps(content)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text(text)
    partial.replace(path)
    try:
        yield
    finally:
        if path.exists() and path.read_text() == text:  # not a successor's
            path.unlink()


def parse_address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, port 0 for a free one. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not 0 <= int(port) <= 65535:
        raise ValueError(f"not HOST:PORT: {text!r}")
    return host, int(port)


def web_arguments(name: str, doc: str | None) -> argparse.ArgumentParser:
    """The arguments of every simulator with an HTTP address, to add one's own to."""
    parser = argparse.ArgumentParser(prog=f"python -m simulators.{name}", description=doc)
    parser.add_argument("--http", type=parse_address, default=("127.0.0.1", 0), metavar="HOST:PORT")
    parser.add_argument("--ready-file", type=Path)
    parser.add_argument("--exit-with-parent", action="store_true")
    return parser


def begin(exit_with_parent: bool, *, log: Path | None = None) -> StopSignal:
    """Start the log, on stdout and where asked in a file, and listen for the order to stop."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if log:
        handlers.append(logging.FileHandler(log))
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s.%(msecs)03d %(message)s", datefmt="%H:%M:%S", handlers=handlers
    )
    logging.raiseExceptions = False  # a reader of stdout that has gone must not stop the simulator
    stop = StopSignal()
    stop.on_signals()
    if exit_with_parent:
        stop.on_parent_death()
    return stop
