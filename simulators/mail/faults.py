"""What a mail server may be told to do wrong."""

import threading
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    REFUSE_LATER = "451"  # try again later, says the server after the message
    REFUSE = "550"  # no such recipient
    HANG = "hang"  # takes the message and never answers
    DROP = "drop"  # hangs up in the middle


@dataclass
class Fault:
    """`times` None: until cleared. `seconds`: how long a hang lasts."""

    kind: Kind
    times: int | None
    seconds: float


class Faults:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []
        self._guard = threading.Lock()

    def arm(self, fault: Fault) -> None:
        with self._guard:
            self._armed.append(fault)

    def clear(self) -> None:
        with self._guard:
            self._armed.clear()

    def take(self, *kinds: Kind) -> Fault | None:
        """The first of these kinds, used up once."""
        with self._guard:
            for fault in self._armed:
                if fault.kind not in kinds:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._armed.remove(fault)
                return fault
        return None
