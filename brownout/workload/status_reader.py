"""A client that asks again and again how its jobs are, less and less often the longer one takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

FIRST = 0.25  # s between the first two questions about a job
GROWTH = 0.1  # of the time since its first question: a job that waits for 10 s is asked about once a second
AT_MOST = 20  # jobs in one round


class StatusReader:
    """Asks about each open job (`jobs` gives task -> key) when its turn has come: `round()`, called again and again.

    `first` is the time (s) between the first two questions about a job.
    """

    def __init__(
        self,
        jobs: Callable[[], Mapping[str, str]],
        read: Callable[[str, str], object],
        clock: Callable[[], float] = time.monotonic,
        *,
        first: float = FIRST,
    ) -> None:
        self._jobs, self._read, self._clock, self._gap = jobs, read, clock, first
        self._first: dict[str, float] = {}
        self._next: dict[str, float] = {}

    def round(self) -> None:
        """Read the statuses that are due; those that have waited longest come first."""
        at = self._clock()
        due = [(self._next.get(task, 0.0), task, key) for task, key in self._jobs().items()]
        for when, task, key in sorted(due)[:AT_MOST]:
            if when <= at:
                age = at - self._first.setdefault(task, at)
                self._next[task] = at + max(self._gap, GROWTH * age)
                self._read(key, task)
