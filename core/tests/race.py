"""Many at once, for real: threads with connections of their own that start together."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import pytest
from django.db import connection, models
from django.db.models import QuerySet

from core.compiled import Lookup

DEADLINE_S = 10.0

T = TypeVar("T")


def race(action: Callable[[], T], *, times: int) -> list[T | Exception]:
    """Run `action` in that many threads that all start at the same moment; answer results and exceptions."""
    return race_each([action] * times)


def race_each(actions: list[Callable[[], T]]) -> list[T | Exception]:
    """Run each action in a thread of its own, all starting at the same moment; results in the order given."""
    start = threading.Barrier(len(actions))

    def run(action: Callable[[], T]) -> T | Exception:
        try:
            connection.ensure_connection()
            start.wait(DEADLINE_S)
            return action()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def wait_for(condition: Callable[[], T], what: str) -> T:
    """The first true answer of `condition`; fails after a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    tick = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        tick.wait(0.005)
    return value


def lock_waiters() -> int:
    """How many wait for a lock in this database: other workers have theirs on the same server.

    Not from pg_stat_activity, which tells a transaction the same all the time.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(DISTINCT waits.pid) FROM pg_locks waits JOIN pg_locks held USING (pid)
            WHERE NOT waits.granted AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """
        )
        return int(cursor.fetchone()[0])


def lock_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seeded bug: nothing waits for another transaction's row. Look-ups are composed anew, to be without it too."""
    monkeypatch.setattr(QuerySet, "select_for_update", lambda rows, **kwargs: rows)
    monkeypatch.setattr(Lookup, "__call__", lambda lookup, **values: list(lookup._rows(**values)))


@contextmanager
def without_unique(model: type[models.Model], name: str) -> Iterator[None]:
    """A seeded bug: nothing keeps rows unique by this field, or by the constraint of this name. Rows go at the end."""
    constraint = next((each for each in model._meta.constraints if each.name == name), None)
    with connection.schema_editor() as editor:
        if constraint:
            editor.remove_constraint(model, constraint)
        else:
            unique = model._meta.get_field(name)
            free = unique.clone()
            free._unique = False
            free.set_attributes_from_name(name)
            free.model = model
            editor.alter_field(model, unique, free)
    try:
        yield
    finally:
        model._base_manager.all().delete()
        with connection.schema_editor() as editor:
            if constraint:
                editor.add_constraint(model, constraint)
            else:
                editor.alter_field(model, free, unique)


def meet_before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, parties: int) -> None:
    """What may happen at any time happens each time: nobody takes the step `owner.name` before all have come to it."""
    meeting, step = threading.Barrier(parties), getattr(owner, name)

    @wraps(step)
    def meet_and_go_on(*arguments: Any, **named: Any) -> Any:
        meeting.wait(DEADLINE_S)
        return step(*arguments, **named)

    monkeypatch.setattr(owner, name, meet_and_go_on)
