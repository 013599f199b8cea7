"""Waiting between attempts: exponential, capped, with full jitter, so that a fleet does not come back in step."""

import random
from collections.abc import Callable


class Backoff:
    """Seconds; `reset` after a success."""

    def __init__(
        self,
        *,
        first_s: float = 1.0,
        longest_s: float = 60.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first = first_s
        self._longest = longest_s
        self._uniform = uniform
        self.failures = 0

    def next(self, at_least_s: float | None = None) -> float:
        """The next wait; never shorter than `at_least_s`, which is what the other side asked for."""
        ceiling = min(self._longest, self._first * 2 ** min(self.failures, 16))
        self.failures += 1
        # A tenth is kept as a floor: full jitter from zero would now and then hammer.
        return max(self._uniform(ceiling / 10, ceiling), at_least_s or 0.0)

    def reset(self) -> None:
        self.failures = 0
