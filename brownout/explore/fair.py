"""Fair time: wall time without the time in which a bench's processes, or the harness, waited for a CPU.

All waiting of a trial is measured in fair time, so that a busy machine makes a trial longer and never makes it say
"nothing moves any more" too early.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeVar

from brownout.subject.run_delay import RunDelay

T = TypeVar("T")
EVERY = 0.04  # s between two looks at a work that is waited for


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
        self.starved = 0.0  # what was taken off the wall time so far
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

    async def nap(self, seconds: float) -> float:
        """Sleep for so long in wall time, then look."""
        begun = self._clock()
        await asyncio.sleep(seconds)
        return self.look(max(0.0, self._clock() - begun - seconds))

    async def within(self, seconds: float, work: Coroutine[Any, Any, T], what: str) -> T:
        """The result of `work`; TimeoutError, which says `what`, when it takes longer than so much fair time."""
        until = self.look() + seconds
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait([task], timeout=EVERY))[0]:
                if self.look() > until:
                    raise TimeoutError(f"not within {seconds:g} s: {what}")
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
