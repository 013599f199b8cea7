"""The machine's clocks."""

import time
from datetime import UTC, datetime

# Unlike time.monotonic() it also counts while the machine sleeps, so an expiry cannot be slept through.
_CLOCK_ID = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """Implements ports.Clock."""

    def monotonic(self) -> float:
        return time.clock_gettime(_CLOCK_ID)

    def wall(self) -> datetime:
        return datetime.now(UTC)
