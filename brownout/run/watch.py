"""Threads that run a function again and again during a trial; one of them measures how busy the machine is.

Brownout itself must not stop its own threads for long: a full garbage collection looks at every object of the process,
and all other threads wait meanwhile. With the modules and tests of a suite loaded this takes 70 ms and more, in which a
trial's clients send and read late, so that a fast answer measures as a slow one. What exists when a trial begins is
therefore left out of collections until the trial has ended (`gc.freeze`).
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

import psutil

from brownout.plan.plan import Plan
from brownout.plan.promise import Promise
from brownout.probes.line import line, now
from brownout.probes.loop_watch import only_looks
from brownout.probes.recorder import Recorder
from brownout.subject.run_delay import RunDelay

TICK = 0.02  # Seconds; the length of each sleep; it is measured how late the sleep ends.
LATE = 0.03  # Seconds; a sleep that ends later than this is recorded.
EVERY = 0.2  # Seconds between two reads of how long threads waited for a CPU.
LEAST = 1.0  # Milliseconds; a shorter wait for a CPU between two reads is not recorded.
NS = 1_000_000_000
RESOURCES = 1.0  # seconds between two looks at what processes hold
#: Up to this number of frozen objects, the program that uses brownout counts as one that froze nothing: Python 3.12
#: itself starts with 375 frozen objects, and a program that calls `gc.freeze` freezes thousands.
INTERPRETERS_OWN = 1000
_freezing = threading.Lock()
_open_blocks = set[object]()  # has one object for each block of `frozen` that is open now
_program_froze = False  # whether the program that uses brownout had frozen objects before the first open block


@contextmanager
def frozen() -> Iterator[None]:
    """Within the block, garbage collections leave out the objects that existed when the block began.

    Blocks may overlap in several threads; after the end of the last one, collections look at all objects again. In a
    program that had called `gc.freeze` before, all objects stay frozen, because `gc.unfreeze` knows only all or none.
    """
    global _program_froze
    block = object()
    try:
        with _freezing:
            if not _open_blocks:
                _program_froze = gc.get_freeze_count() > INTERPRETERS_OWN
            _open_blocks.add(block)
            gc.freeze()
        yield
    finally:
        with _freezing:
            _open_blocks.discard(block)
            if not _open_blocks and not _program_froze:
                gc.unfreeze()


class Repeated:
    """Calls a function every `every` seconds in a thread of its own. The method `stop` raises the exception that the
    function has raised."""

    def __init__(self, name: str, call: Callable[[], object], every: float) -> None:
        self._call, self._every = call, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._error: Exception | None = None

    def start(self) -> None:
        """Start the thread that calls the function."""
        self._thread.start()

    def _run(self) -> None:
        only_looks()
        try:
            while not self._stop.wait(self._every):
                self._call()
        except Exception as error:
            self._error = error

    def stop(self) -> None:
        """End the thread that calls the function again and again. Raises the exception that the function has raised."""
        self._stop.set()
        self._thread.join()
        if self._error:
            raise self._error


class BusyWatch:
    """Records how long the processes of a trial waited for a CPU, and has a clock that leaves this time out.

    `processes` returns the pids of the subject's processes by name. The event `waited` (from the kernel's run delays)
    is recorded every EVERY seconds, and the event `machine-late` when a thread that only sleeps wakes up late.
    """

    def __init__(self, recorder: Recorder, processes: Callable[[], Mapping[str, Iterable[int]]]) -> None:
        self._recorder, self._processes = recorder, processes
        self._delay = RunDelay(first_only_looks=os.getpid())  # the id of the thread that carries the trial out
        self._slept_at = time.monotonic()
        self._looked_at = now()
        self._waited = 0  # the total time (ns) that the clock has left out
        self.thread = Repeated("busy watch", self.look, TICK)

    def clock(self) -> float:
        """The monotonic clock in seconds, without the time in which the subject waited for a CPU.

        For each span between two reads, the clock leaves out the wait of the thread that waited longest, because
        somebody may wait for the work of this thread.
        """
        return time.monotonic() - self._waited / NS

    @property
    def waited(self) -> float:
        """The number of seconds that the clock has left out so far."""
        return self._waited / NS

    def look(self) -> None:
        """Measure how late this call comes; every EVERY seconds also read how long threads waited for a CPU. This
        function is called every TICK seconds."""
        late = time.monotonic() - self._slept_at - TICK
        late_at = self._recorder.record("machine-late", ms=round(late * 1000)) if late > LATE else 0
        begin, at = self._looked_at, now()
        if at - begin >= EVERY * NS or late > LATE:
            self._looked_at = at
            names = {pid: name for name, pids in self._processes().items() for pid in pids}
            delays: dict[str, int] = {}
            for pid, waited in self._delay.take([*names, os.getpid()]).items():
                name = names.get(pid, "harness")
                delays[name] = delays.get(name, 0) + waited
            slept_too_long = int(late * NS) if late > LATE else 0
            self._waited += min(at - begin, max(self._delay.longest, slept_too_long))
            ms = {name: round(waited / 1e6, 1) for name, waited in delays.items() if waited >= LEAST * 1e6}
            if ms or late_at:
                longest = round(self._delay.longest / 1e6, 1)
                self._recorder.record("waited", at=at, since=begin, ms=ms, longest=longest, late_at=late_at)
        self._slept_at = time.monotonic()


def held(recorder: Recorder, processes: Mapping[str, Iterable[int]]) -> None:
    """Record what each process holds: resident memory in megabytes, open descriptors, established connections.

    `processes` are the pids of the subject's processes by name. A process that has ended meanwhile is left out.
    """
    for name, pids in processes.items():
        for pid in pids:
            with suppress(psutil.Error, OSError):
                process = psutil.Process(pid)
                resources = {
                    "megabytes": round(process.memory_info().rss / 1e6, 2),
                    "descriptors": process.num_fds(),
                    "connections": sum(bool(connection.raddr) for connection in process.net_connections("tcp")),
                }
                event = line(now(), recorder.source, "resources", None, None, pid, {"process": name, **resources})
                recorder.append(event)


def resource_watches(
    plan: Plan, recorder: Recorder, processes: Callable[[], Mapping[str, Iterable[int]]]
) -> list[Repeated]:
    """Return the watch of what the subject's processes hold, if a promise of the plan is about that."""

    def look() -> None:
        own = {name: pids for name, pids in processes().items() if name in plan.topology.processes}
        held(recorder, own)

    return [Repeated("resource watch", look, RESOURCES)] if any(map(_about_resources, plan.promises)) else []


def _about_resources(promise: Promise) -> bool:
    under = promise.args.get("under")  # the promise inside a `must_show`
    return promise.name == "nothing_leaks" or bool(under and under["name"] == "nothing_leaks")
