"""Misbehaviour on order: armed over the control API, used up as it strikes."""

import threading
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from simulators.web import HttpError

MAX_SECONDS = 120


class Counted(Protocol):
    times: int | None  # None: until cleared


F = TypeVar("F", bound=Counted)


class Faults(Generic[F]):
    """Safe from any thread."""

    def __init__(self) -> None:
        self._armed: list[F] = []
        self._guard = threading.Lock()

    def arm(self, fault: F) -> None:
        with self._guard:
            self._armed.append(fault)

    def clear(self) -> None:
        with self._guard:
            self._armed.clear()

    def take(self, fits: Callable[[F], bool]) -> F | None:
        """The first that fits, used up once."""
        with self._guard:
            for fault in self._armed:
                if not fits(fault):
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._armed.remove(fault)
                return fault
        return None


def read_times(fields: Mapping[str, object]) -> int | None:
    """How often a fault strikes; None until cleared. Raises HttpError 400."""
    times = fields.get("times", 1)
    if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
        raise HttpError(400, "times is a whole number above 0, or null for until cleared")
    return times


def read_seconds(fields: Mapping[str, object], default: float) -> float:
    """How long a fault lasts. Raises HttpError 400."""
    seconds = fields.get("seconds", default)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_SECONDS:
        raise HttpError(400, f"seconds is 0 to {MAX_SECONDS}")
    return float(seconds)
