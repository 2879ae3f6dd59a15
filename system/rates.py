"""Bounds how often each owner may submit to this process."""

import time
from collections.abc import Callable


class Rates:
    """A token bucket for each owner, of `rate` tokens a second, which holds the tokens of one second.

    This is own code, because libraries for it bring a storage and a scheme of keys that five lines do not need.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = rate, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, owner: str) -> float:
        """Take a token. Returns 0, or the seconds until there is one. An owner has at least one token to begin with."""
        now, size = self._clock(), max(1.0, self._rate)
        tokens, at = self._buckets.get(owner, (size, now))
        tokens = min(size, tokens + (now - at) * self._rate)
        taken = tokens >= 1
        self._buckets[owner] = (tokens - taken, now)
        return 0.0 if taken else (1 - tokens) / self._rate
