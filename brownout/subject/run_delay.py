"""How long threads have waited for a CPU: the second number of `/proc/<pid>/task/<tid>/schedstat`, in nanoseconds.

Linux counts the time in which a thread is ready to run and does not run (`sched_info.run_delay`). When the kernel does
not provide the file `schedstat`, waiting times are taken as 0.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from brownout.probes.loop_watch import LOOKER

KEPT = 100  # the numbers of ended threads are removed when this many more of them than of living threads are stored


class RunDelay:
    """Measures how long processes waited for a CPU between two calls of `take`; if `threads` is False, only their main
    threads count.

    Threads of brownout that only observe are not counted, because they wake up often and therefore wait for a CPU more
    than other threads. Threads that only observe have a special name (probes/loop_watch.py). The main thread of the
    process `first_only_looks` is not counted either.
    """

    def __init__(self, *, threads: bool = True, first_only_looks: int = 0) -> None:
        self._threads = threads
        # maps the path of a thread in /proc to the nanoseconds that the thread has waited so far
        self._known: dict[str, int] | None = None
        first = f"/proc/{first_only_looks}/task/{first_only_looks}/schedstat"
        self._counts: dict[str, bool] = {first: False}  # Maps the path of a thread in /proc to whether its waits count.
        self.longest = 0  # The longest wait (ns) of a single thread between the last two calls.

    def take(self, pids: Iterable[int]) -> dict[int, int]:
        """Return the nanoseconds that each process waited since the last call, summed over its threads; 0 at the first
        call.

        If a thread has started since the last call, its whole waiting time counts. Processes that have ended are left
        out of the result.
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
                    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - twice as fast as Path.open
                        known[path] = int(file.read(64).split()[1])
                    new = known[path] - before.get(path, 0) if before is not None else 0
                    if new < 0:  # the kernel has given the thread's id to another thread
                        new = known[path]
                    waited[pid] = waited.get(pid, 0) + new
                    self.longest = max(self.longest, new)
        # The kernel's list of threads may miss a living thread. The number of a missing thread is kept, so that the
        # thread does not count as new the next time.
        missing = {path: value for path, value in (before or {}).items() if path not in known}
        self._known = {**known, **(missing if len(missing) <= len(known) + KEPT else {})}
        return waited

    def _counted(self, path: str) -> bool:
        """Whether the waiting of this thread counts; the waiting of brownout's threads that only observe does not."""
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
            for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - faster than Path.iterdir
                yield f"/proc/{pid}/task/{thread}/schedstat"
