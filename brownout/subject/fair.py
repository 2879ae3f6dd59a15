"""Fair time: wall time without the time in which the subject's processes, or the harness, waited for a CPU.

A trial that settles by evidence measures all its waiting in fair time, so that a busy machine makes the trial longer
and never makes it say "nothing moves any more" too early.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from brownout.subject.run_delay import RunDelay


class Delays(Protocol):
    """A `RunDelay`, or what stands for one."""

    def take(self, pids: Iterable[int]) -> dict[int, int]:
        """Nanoseconds for which each process waited for a CPU since the last call."""


class FairTime:
    """A clock that starts at 0 and counts at each look. It is used on one thread, whose own waiting counts too."""

    def __init__(
        self,
        pids: Callable[[], Iterable[int]] = tuple,
        *,
        clock: Callable[[], float] = time.monotonic,
        delays: Delays | None = None,
    ) -> None:
        self.seconds = 0.0  # at the last look
        self.starved = 0.0  # s that were taken off the wall time so far
        self._pids, self._clock = pids, clock
        self._delays = delays or RunDelay(threads=False)
        self._last: float | None = None

    def look(self, late: float = 0.0) -> float:
        """Count the time since the last look; returns `seconds`. `late` is by how much (s) the caller woke too late.

        A process may have waited while another one ran, so the sum of all is too much rather than too little; no more
        than the time since the last look is taken off.
        """
        now, own = self._clock(), threading.get_native_id()
        waited = self._delays.take((own, *self._pids()))
        if self._last is not None:
            passed = now - self._last
            mine = max(late, waited.pop(own, 0) / 1e9)
            lost = min(passed, mine + sum(waited.values()) / 1e9)
            self.starved += lost
            self.seconds += passed - lost
        self._last = now
        return self.seconds
