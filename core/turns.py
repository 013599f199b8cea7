"""How many threads may wait for one slow neighbour at a time: those that serve the web are few."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from core.errors import Text, Unavailable


@contextmanager
def turn(places: BoundedSemaphore, *, refusal: Text, patience_s: float = 0) -> Iterator[None]:
    """Hold one of the places while the body runs. Raises `Unavailable`, saying `refusal`, when none comes free."""
    if not places.acquire(timeout=patience_s or None, blocking=patience_s > 0):
        raise Unavailable(refusal)
    try:
        yield
    finally:
        places.release()
