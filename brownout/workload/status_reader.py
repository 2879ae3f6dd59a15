"""A client that reads the statuses of its jobs again and again, less often the longer a job takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

FIRST = 0.25  # Seconds between the first two reads of a job's status.
GROWTH = 0.1  # Share of the time since the job's first read: a job that takes 10 s is read once a second.
AT_MOST = 20  # The largest number of reads in one call of `round`.


class StatusReader:
    """Reads the status of every unfinished job at the job's next planned time. The method `round()` must be called
    again and again.

    The function `jobs` returns the unfinished jobs, as a mapping from task to key. `first` is the time (s) between the
    first two reads of a job's status.
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
        """Read the statuses whose planned time has come, at most AT_MOST of them. The statuses whose planned time is
        longest ago are read first."""
        at = self._clock()
        due = [(self._next.get(task, 0.0), task, key) for task, key in self._jobs().items()]
        for when, task, key in sorted(due)[:AT_MOST]:
            if when <= at:
                age = at - self._first.setdefault(task, at)
                self._next[task] = at + max(self._gap, GROWTH * age)
                self._read(key, task)
