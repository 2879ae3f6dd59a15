"""What is looked at again and again during a trial, each in a thread of its own, so that none waits for another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from brownout.history.recorder import Recorder

TICK = 0.02
STALL = 1.0  # s; everything that a scenario measures in time is several times coarser
LATE = 0.03  # s; what is measured in milliseconds meanwhile tells of this machine, not of the subject


class Repeated:
    """Calls a function every `every` seconds until stopped, and raises at stop what it raised."""

    def __init__(self, name: str, call: Callable[[], object], every: float) -> None:
        self._call, self._every = call, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._wrong: Exception | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._every):
                self._call()
        except Exception as error:
            self._wrong = error

    def stop(self) -> None:
        """End; raises what the function raised."""
        self._stop.set()
        self._thread.join()
        if self._wrong:
            raise self._wrong


def stall_watch(recorder: Recorder) -> Repeated:
    """Record `machine-stalled` when this thread, which only sleeps, comes back a second late: the machine was busy.

    What is shorter, but long for a single request, is recorded as `machine-late`.
    """
    last = time.monotonic()

    def look() -> None:
        nonlocal last
        late = time.monotonic() - last - TICK
        if late > STALL:
            recorder.record("machine-stalled", ms=round(late * 1000))
        elif late > LATE:
            recorder.record("machine-late", ms=round(late * 1000))
        last = time.monotonic()

    return Repeated("stall watch", look, TICK)
