"""What is looked at again and again during a trial, each in a thread of its own, so that none waits for another."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from brownout.probes.line import now
from brownout.probes.loop_watch import only_looks
from brownout.probes.recorder import Recorder
from brownout.subject.run_delay import RunDelay

TICK = 0.02  # s between two sleeps whose lateness is measured
LATE = 0.03  # s; a sleep that ends so late is told
EVERY = 0.2  # s between two looks at run delays
LEAST = 1.0  # ms; what was waited in one look and is less is not told
NS = 1_000_000_000


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
        only_looks()
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


class BusyWatch:
    """Records how long the processes of a trial waited for a CPU, and keeps a clock that leaves such time out.

    `processes` gives the pids of each process of the subject by its name. Two witnesses: run delays from the kernel
    (`waited`, every EVERY seconds), and how late a thread that only sleeps comes back (`machine-late`).
    """

    def __init__(self, recorder: Recorder, processes: Callable[[], Mapping[str, Iterable[int]]]) -> None:
        self._recorder, self._processes = recorder, processes
        self._delay = RunDelay(first_only_looks=os.getpid())  # the thread that carries the trial out
        self._slept_at = time.monotonic()
        self._looked_at = now()
        self._waited = 0  # ns, all together
        self.thread = Repeated("busy watch", self.look, TICK)

    def clock(self) -> float:
        """Seconds of the monotonic clock without those in which one and the same thread waited for a CPU.

        The thread is the one that waited longest between two looks: whatever is under way may be its work.
        """
        return time.monotonic() - self._waited / NS

    @property
    def waited(self) -> float:
        """Seconds that the clock has left out so far."""
        return self._waited / NS

    def look(self) -> None:
        """Called every TICK seconds, if the machine can."""
        late = time.monotonic() - self._slept_at - TICK
        late_at = self._recorder.record("machine-late", ms=round(late * 1000)) if late > LATE else 0
        begin, at = self._looked_at, now()
        if at - begin >= EVERY * NS or late > LATE:
            self._looked_at = at
            names = {pid: name for name, pids in self._processes().items() for pid in pids}
            told: dict[str, int] = {}
            for pid, waited in self._delay.take([*names, os.getpid()]).items():
                name = names.get(pid, "harness")
                told[name] = told.get(name, 0) + waited
            slept_too_long = int(late * NS) if late > LATE else 0
            self._waited += min(at - begin, max(self._delay.longest, slept_too_long))
            ms = {name: round(waited / 1e6, 1) for name, waited in told.items() if waited >= LEAST * 1e6}
            if ms or late_at:
                longest = round(self._delay.longest / 1e6, 1)
                self._recorder.record("waited", at=at, since=begin, ms=ms, longest=longest, late_at=late_at)
        self._slept_at = time.monotonic()
