"""Fair time: wall time without the time in which the subject's processes, or the harness, waited for a CPU.

A trial that settles by evidence measures all its waiting in fair time. A busy machine then makes the trial longer,
but never makes the trial decide too early that nothing changes any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from brownout.subject.run_delay import RunDelay


class Delays(Protocol):
    """The interface of `RunDelay`, which tests replace by a substitute."""

    def take(self, pids: Iterable[int]) -> dict[int, int]:
        """Return the nanoseconds for which each process waited for a CPU since the last call."""


class FairTime:
    """A clock of fair time, which starts at 0 and advances at each `look`. Only one thread may use the clock.

    The time in which the thread that calls `look` waits for a CPU is left out, too.
    """

    def __init__(
        self,
        pids: Callable[[], Iterable[int]] = tuple,
        *,
        clock: Callable[[], float] = time.monotonic,
        delays: Delays | None = None,
    ) -> None:
        self.seconds = 0.0  # the fair time at the last look
        self.starved = 0.0  # the seconds of wall time that the clock has left out so far
        self._pids, self._clock = pids, clock
        self._delays = delays or RunDelay(threads=False)
        self._last: float | None = None

    def look(self, late: float = 0.0) -> float:
        """Add the time since the last look, and return `seconds`. `late` is the time (s) by which the calling thread
        woke up too late.

        The waiting times of all processes are added up and left out, at most the whole time since the last look. The
        clock leaves out too much rather than too little, because one process may have waited while another process ran.
        """
        now, own = self._clock(), threading.get_native_id()
        waited = self._delays.take((own, *self._pids()))
        if self._last is not None:
            passed = now - self._last
            own_wait = max(late, waited.pop(own, 0) / 1e9)
            left_out = min(passed, own_wait + sum(waited.values()) / 1e9)
            self.starved += left_out
            self.seconds += passed - left_out
        self._last = now
        return self.seconds
