"""Fair time: wall time without the time in which the subject's processes, or brownout itself, waited for a CPU.

A trial that ends as soon as nothing can change any more measures its waits by this clock (fair time). A busy machine
then makes the trial longer, but never lets the trial decide too early that nothing changes any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from brownout.subject.run_delay import RunDelay


class Delays(Protocol):
    """The interface of the class `RunDelay`; tests use another class with this interface."""

    def take(self, pids: Iterable[int]) -> dict[int, int]:
        """Return for each process how many nanoseconds it waited for a CPU since the last call."""


class FairTime:
    """A clock that leaves out waits for a CPU (fair time). The clock starts at 0 and goes on at each call of `look`.
    Only one thread may use an object of this class.

    The time in which the thread that calls `look` waits for a CPU is left out, too.
    """

    def __init__(
        self,
        pids: Callable[[], Iterable[int]] = tuple,
        *,
        clock: Callable[[], float] = time.monotonic,
        delays: Delays | None = None,
    ) -> None:
        self.seconds = 0.0  # The time that this clock showed at the last look.
        self.starved = 0.0  # The seconds of wall time that the clock has left out so far.
        self._pids, self._clock = pids, clock
        self._delays = delays or RunDelay(threads=False)
        self._last: float | None = None

    def look(self, late: float = 0.0) -> float:
        """Add the time since the last call of `look` to the clock, and return the clock's time in seconds. `late` is
        the number of seconds by which the calling thread woke up too late.

        The clock leaves out the sum of the waiting times of all processes, but at most the whole time since the last
        call of `look`. The clock may leave out too much, but not too little: one process may have waited while another
        process ran.
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
