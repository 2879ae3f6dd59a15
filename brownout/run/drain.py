"""After the faults: wait until the subject has finished what it accepted, then read the last statuses."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from brownout.run.looking import Looking
from brownout.run.watch import BusyWatch
from brownout.workload.clients import Clients

SAMPLE = 0.2  # s between two looks into the broker
ASK_WITHIN = 10.0  # s for an API to tell the last statuses
Pump = Callable[[Callable[[], bool], float | None], bool]  # until a condition is true, within seconds


def drain(looking: Looking, clients: Clients, busy: BusyWatch, pump: Pump, *, within: float, recovery: float) -> None:
    """Wait until nothing is left: not in a queue, not unacked, not running, and nothing accepted unsettled.

    When something is unsettled and nowhere, it has the application's `recovery` (s) to come back.
    """
    quiet_since: float | None = None
    worked: float | None = None
    settled = looking.settled

    def over() -> bool:
        nonlocal quiet_since, worked
        if not looking.quiet:
            quiet_since = None
            return False
        # The application's recovery is made of time-outs, which a busy machine does not stretch, and of a little
        # work, which it does.
        if quiet_since is None:
            quiet_since, worked = time.monotonic(), None
        if time.monotonic() - quiet_since <= (recovery if settled.waiting else 0.0):
            return False
        worked = worked or busy.clock()
        if busy.clock() - worked <= (5 if settled.waiting else 2) * SAMPLE:
            return False
        looking.sample()  # beat may have sent something in this very moment
        quiet_since = None
        return looking.quiet

    begun, waited = time.monotonic(), busy.waited
    ended = pump(over, within)
    spent: dict[str, Any] = {"seconds": time.monotonic() - begun, "busy": busy.waited - waited, "limit": within}
    if not ended:
        looking.sample()
    left = ", ".join(sorted(settled.waiting)[:8])
    looking.recorders["run"].record("drained", ok=ended, left=left, recovery=recovery, **spent)
    _read_all(looking, clients, pump)
    looking.look()
    looking.records.compare()


def _read_all(looking: Looking, clients: Clients, pump: Pump) -> None:
    """Read the status of each accepted task: what is read from here on is the last word.

    An API that does not answer is asked again for a while; what it never told is recorded as unread.
    """
    left = looking.settled.accepted

    def read() -> bool:
        for task, key in list(left.items()):
            del left[task]
            if not clients.read(key, task):
                left[task] = key  # the others come first: it may be this one alone that is not answered
                return False
        return True

    pump(read, ASK_WITHIN)
    for task, key in left.items():
        looking.recorders["run"].record("unread", key=key, task=task)
