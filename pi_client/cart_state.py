"""Which changes of a cart are told: those that two readings, apart in time, agree on. Pure."""

from dataclasses import dataclass
from typing import NamedTuple

from .contract import LockState

DEBOUNCE_S = 0.05


class CartState(NamedTuple):
    """Hook and sensor as last read."""

    lock: LockState
    present: bool | None


UNREADABLE = CartState(LockState.UNKNOWN, None)


@dataclass(slots=True)
class CartTracker:
    """`told` is what the cloud was last told, `candidate` a different reading that wants confirmation."""

    told: CartState | None = None
    candidate: CartState | None = None
    since: float = 0.0

    def observe(self, state: CartState, now: float) -> bool:
        """True when `state` is new and confirmed: it is then taken as told."""
        if state == self.told:
            self.candidate = None
            return False
        if state != self.candidate:
            self.candidate, self.since = state, now
            return False
        if now - self.since < DEBOUNCE_S:
            return False
        self.settle(state)
        return True

    def settle(self, state: CartState) -> None:
        """Something else (a command's answer, a silent board) told `state`."""
        self.told, self.candidate = state, None
