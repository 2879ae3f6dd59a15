"""How long threads have waited for a CPU: the second number of `/proc/<pid>/task/<tid>/schedstat`, in nanoseconds.

Linux counts it for each thread that is ready to run and does not (`sched_info.run_delay`). Where a kernel does not
tell, nobody has waited as far as is known.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from brownout.probes.loop_watch import LOOKER

KEPT = 100  # threads that are remembered beyond those that are there


class RunDelay:
    """What processes waited for a CPU between two calls of `take`. With `threads` False it is their main threads'.

    Threads of the kit that only look at others do not count: they wake so often that they wait most of all. They name
    themselves (probes/loop_watch.py); of the process `first_only_looks` the first thread is one, too.
    """

    def __init__(self, *, threads: bool = True, first_only_looks: int = 0) -> None:
        self._threads = threads
        self._known: dict[str, int] | None = None  # path of a thread: nanoseconds so far
        first = f"/proc/{first_only_looks}/task/{first_only_looks}/schedstat"
        self._counts: dict[str, bool] = {first: False}  # path of a thread: whether it counts
        self.longest = 0  # ns; the most that any one thread waited between the last two calls

    def take(self, pids: Iterable[int]) -> dict[int, int]:
        """Nanoseconds for each process, the sum of its threads; the first call returns zeros.

        A thread that is new since the last call counts from its begin. A process that has ended is left out.
        """
        before, known = self._known, dict[str, int]()
        waited: dict[int, int] = {}
        self.longest = 0
        for pid in pids:
            for path in self._paths(pid):
                if not self._counted(path):
                    waited.setdefault(pid, 0)
                    continue
                with suppress(OSError, ValueError, IndexError):
                    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - twice as fast, and called often
                        known[path] = int(file.read(64).split()[1])
                    new = known[path] - before.get(path, 0) if before is not None else 0
                    if new < 0:  # the number belongs to another thread by now
                        new = known[path]
                    waited[pid] = waited.get(pid, 0) + new
                    self.longest = max(self.longest, new)
        # A thread that was not listed this time may be the next time, and did not begin then.
        missing = {path: value for path, value in (before or {}).items() if path not in known}
        self._known = {**known, **(missing if len(missing) <= len(known) + KEPT else {})}
        return waited

    def _counted(self, path: str) -> bool:
        """Whether the thread does more than look at others."""
        if not self._threads:
            return True
        if path not in self._counts:
            self._counts[path] = True
            with suppress(OSError), open(f"{path.removesuffix('schedstat')}comm", "rb", buffering=0) as file:  # noqa: PTH123
                self._counts[path] = not file.read(16).startswith(LOOKER.encode())
        return self._counts[path]

    def _paths(self, pid: int) -> Iterator[str]:
        if not self._threads:
            yield f"/proc/{pid}/schedstat"
            return
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - see above
                yield f"/proc/{pid}/task/{thread}/schedstat"
