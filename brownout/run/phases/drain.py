"""The drain after the faults: waits until the subject has finished all accepted tasks, then reads their statuses."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from brownout.run.observer import Observer
from brownout.run.watch import BusyWatch
from brownout.workload.clients import Clients

SAMPLE = 0.2  # Seconds between two samples of the broker.
ASK_WITHIN = 10.0  # The seconds within which an API must answer with the final statuses.
#: A function that waits until a condition is true, at most for a number of seconds, and returns whether the condition
#: became true.
Pump = Callable[[Callable[[], bool], float | None], bool]


def drain(observer: Observer, clients: Clients, busy: BusyWatch, pump: Pump, *, within: float, recovery: float) -> None:
    """Wait until no message is queued or unacked, no task runs, and every accepted operation is finished.

    If an operation is not finished, but has neither a message nor a running task, the wait lasts `recovery` seconds
    longer, because the application may publish the message again. After `within` seconds the wait ends even if work is
    left.
    """
    quiet_since: float | None = None
    worked: float | None = None
    settled = observer.settled

    def over() -> bool:
        nonlocal quiet_since, worked
        if not observer.quiet:
            quiet_since = None
            return False
        # The time `recovery` is counted in wall time, because a recovery consists of time-outs. The short work after
        # the time-outs is measured by a clock that leaves out waits for a CPU, because a busy machine makes this work
        # slower.
        if quiet_since is None:
            quiet_since, worked = time.monotonic(), None
        if time.monotonic() - quiet_since <= (recovery if settled.waiting else 0.0):
            return False
        worked = worked or busy.clock()
        if busy.clock() - worked <= (5 if settled.waiting else 2) * SAMPLE:
            return False
        observer.sample()  # the wait goes on, because beat may have sent a message since the last sample
        quiet_since = None
        return observer.quiet

    begun, waited = time.monotonic(), busy.waited
    ended = pump(over, within)
    spent: dict[str, Any] = {"seconds": time.monotonic() - begun, "busy": busy.waited - waited, "limit": within}
    if not ended:
        observer.sample()
    left = ", ".join(sorted(settled.waiting)[:8])
    observer.recorders["run"].record("drained", ok=ended, left=left, recovery=recovery, **spent)
    _read_all(observer, clients, pump)
    observer.look()
    observer.records.compare()
    observer.records.tell_rows()


def _read_all(observer: Observer, clients: Clients, pump: Pump) -> None:
    """Read the final status of each accepted task. When the API does not tell the status of a task, an event `unread`
    is recorded.

    An API that does not answer is asked again, at most for ASK_WITHIN seconds.
    """
    unread = observer.settled.accepted

    def read() -> bool:
        for task, key in list(unread.items()):
            del unread[task]
            if not clients.read(key, task):
                # a task for which the API gave no answer moves to the end of the queue, because the API may answer for
                # the other tasks
                unread[task] = key
                return False
        return True

    pump(read, ASK_WITHIN)
    for task, key in unread.items():
        observer.recorders["run"].record("unread", key=key, task=task)
