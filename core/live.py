"""Push to open pages. Losing a push loses nothing: a page catches up from the database when its socket comes back.

Django's threads have no event loop, and a Redis connection belongs to the loop that made it; so each process keeps one
loop in a background thread and its connection with it. A push from a view or the bridge costs a queue hand-over.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from channels.layers import get_channel_layer
from django.db import close_old_connections, transaction

logger = logging.getLogger(__name__)
PUSH_TIMEOUT_S = 2.0
LATE_S = 0.05

E = TypeVar("E")
_listeners: dict[type, list[Callable[[Any], None]]] = {}


def hears(event_class: type[E], *, late: bool = False) -> Callable[[Callable[[E], None]], Callable[[E], None]]:
    """Register a function that shows an event on open pages. Called after the commit, at most once: not for effects.

    `late`: a moment after, in a thread of its own, for what the next event mostly makes needless.
    """

    def register(listener: Callable[[E], None]) -> Callable[[E], None]:
        called = (lambda event: _late_calls().put((time.monotonic() + LATE_S, listener, event))) if late else listener
        _listeners.setdefault(event_class, []).append(called)
        return listener

    return register


def announce(event: object) -> None:
    """Tell those who show it, once the transaction has committed. What must not be lost goes to `core.outbox`."""
    for listener in _listeners.get(type(event), ()):
        # A lambda, not a partial: Django asks a robust callback that failed for its `__qualname__`.
        transaction.on_commit(lambda listener=listener: listener(event), robust=True)  # type: ignore[misc]


def branch_group(branch_id: UUID) -> str:
    """Channel group of everything that happens in a branch."""
    return f"branch.{branch_id}"


def customer_group(customer_id: UUID) -> str:
    """Channel group of whatever one customer rents."""
    return f"customer.{customer_id}"


def push(group: str, kind: str, **data: Any) -> None:
    """Send `{"type": kind, **data}` to a group without waiting for it; a failure is logged."""
    layer = get_channel_layer()
    if layer is None:
        return
    future = asyncio.run_coroutine_threadsafe(
        asyncio.wait_for(layer.group_send(group, {"type": kind, **data}), PUSH_TIMEOUT_S), _loop()
    )
    future.add_done_callback(lambda done: _log_failure(group, done.exception()))


def _log_failure(group: str, error: BaseException | None) -> None:
    if error is not None:
        logger.warning("live push lost", extra={"group": group, "error": repr(error)})


@cache
def _late_calls() -> "queue.SimpleQueue[tuple[float, Callable[[Any], None], Any]]":
    calls: queue.SimpleQueue[tuple[float, Callable[[Any], None], Any]] = queue.SimpleQueue()
    threading.Thread(target=_call_late, args=(calls,), name="live-late", daemon=True).start()
    return calls


def _call_late(calls: "queue.SimpleQueue[tuple[float, Callable[[Any], None], Any]]") -> None:
    while True:
        due, listener, event = calls.get()
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            close_old_connections()
            listener(event)
        except Exception:
            logger.warning("an event was not shown", exc_info=True, extra={"event": repr(event)})


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="live-push", daemon=True).start()
    return loop
