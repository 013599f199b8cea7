"""Two requests at once, for real: two threads with their own connections, one let go after the other.

The first is held right after its checks, in its transaction; the second then runs until it too is held, ends, or waits
for a lock of the first. So the outcome does not depend on the machine's speed.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection

DEADLINE_S = 20.0


class RaceStuck(Exception):
    """A racer neither ended nor was held: the campaign itself is broken."""


class Racer(threading.Thread):
    """One request; `gate` holds it where a command is queued."""

    def __init__(self, action: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._action = action
        self.backend = 0
        self.held = threading.Event()
        self.released = threading.Event()
        self.done = threading.Event()
        self.answer: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            connection.ensure_connection()
            self.backend = connection.connection.info.backend_pid
            self.answer = self._action()
        except BaseException as error:
            self.error = error
        finally:
            connection.close()
            self.done.set()


def gate() -> None:
    """Called where a request has checked everything and is about to write; holds racers."""
    racer = threading.current_thread()
    if isinstance(racer, Racer) and not racer.held.is_set():
        racer.held.set()
        racer.released.wait(DEADLINE_S)


def race(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Racer, Racer]:
    """Run both; `first` passes its checks before `second` begins, and commits before it goes on."""
    one, other = Racer(first), Racer(second)
    one.start()
    _wait(lambda: one.held.is_set() or one.done.is_set())
    other.start()
    _wait(lambda: other.held.is_set() or other.done.is_set() or _is_blocked(other))
    one.released.set()
    _wait(one.done.is_set)
    other.released.set()
    _wait(other.done.is_set)
    one.join()
    other.join()
    return one, other


def _is_blocked(racer: Racer) -> bool:
    if not racer.backend:
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [racer.backend])
        return bool(cursor.fetchone()[0])


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RaceStuck
        time.sleep(0.0005)
