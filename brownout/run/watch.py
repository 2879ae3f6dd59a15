"""What is looked at again and again during a trial, each in a thread of its own, so that none waits for another."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable

from brownout.history.event import Event
from brownout.history.recorder import Recorder

TICK = 0.02
STALL = 1.0  # s; everything that a scenario measures in time is several times coarser
DEBT = 0.5  # s of lateness, all together
FORGIVEN = 0.05  # of the time that passes: a machine that is late for so much of it is not busy
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


class Lateness:
    """What a thread that only sleeps tells of the machine, from how late it comes back each time (seconds)."""

    def __init__(self) -> None:
        self.debt = 0.0

    def kind(self, late: float, slept: float) -> str:
        """The event that this is worth, or "". Much of a little is as bad as one long one: it adds up, and fades."""
        self.debt = max(0.0, self.debt - FORGIVEN * slept) + max(0.0, late)
        if late > STALL or self.debt > DEBT:
            self.debt = 0.0
            return "machine-stalled"
        return "machine-late" if late > LATE else ""


class Starvation:
    """Record `machine-stalled` when an event loop of the subject waits for a CPU (`starved`) again and again."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._lateness: defaultdict[str, Lateness] = defaultdict(Lateness)
        self._last: dict[str, int] = {}  # ns

    def see(self, events: Iterable[Event]) -> None:
        """Those that came since the last time."""
        for event in events:
            if event.kind == "starved":
                since = (event.at - self._last.get(event.source, event.at)) / 1e9
                self._last[event.source] = event.at
                if self._lateness[event.source].kind(event.data["ms"] / 1000, since) == "machine-stalled":
                    self._recorder.record("machine-stalled", ms=event.data["ms"], loop=event.source)


def stall_watch(recorder: Recorder) -> Repeated:
    """Record `machine-stalled` when this thread comes back a second late, or a little late all the time.

    A single time that is short, but long for one request, is recorded as `machine-late`.
    """
    last, lateness = time.monotonic(), Lateness()

    def look() -> None:
        nonlocal last
        slept = time.monotonic() - last
        if kind := lateness.kind(slept - TICK, slept):
            recorder.record(kind, ms=round((slept - TICK) * 1000))
        last = time.monotonic()

    return Repeated("stall watch", look, TICK)
