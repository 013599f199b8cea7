"""What a gateway may be told to do wrong."""

import threading
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    TIMEOUT = "timeout"  # the message goes out, the answer never comes
    HTTP_500 = "http_500"
    HTML = "html"  # 200 with somebody's error page
    REJECTED = "rejected"  # the vendor's own refusal of the recipient
    NO_CREDIT = "no_credit"
    SLOW = "slow"


DEFAULT_SECONDS = {Kind.TIMEOUT: 30.0, Kind.SLOW: 2.0}


@dataclass
class Fault:
    """`gateway` None: any. `times` None: until cleared. `delivers`: whether a timeout's message reaches the inbox."""

    kind: Kind
    gateway: str | None
    times: int | None
    seconds: float
    delivers: bool


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

    def take(self, gateway: str) -> Fault | None:
        """The first that fits, used up once."""
        with self._guard:
            for fault in self._armed:
                if fault.gateway not in (None, gateway):
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self._armed.remove(fault)
                return fault
        return None
