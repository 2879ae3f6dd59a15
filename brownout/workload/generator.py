"""Starts the operations of loads at their intended times, however slow the subject is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import SimpleQueue

from brownout.history.event import Event
from brownout.plan.operation import Load, Operation
from brownout.plan.seed import stream
from brownout.plan.trigger import Count
from brownout.probes.line import now

THREADS = 64
TICK = 0.02  # seconds between two checks whether the event of a load has come
NS = 1_000_000_000
Call = Callable[[Operation, str, int, int], None]  # the operation, its key, its number, and its intended start time
Job = tuple[Operation, str, int, int]


@dataclass
class _Clock:
    """The state of one load. A thread with this state starts the operations of the load; if the load waits for an
    event, the thread starts them after that event."""

    number: int
    load: Load
    thread: threading.Thread = field(init=False)
    begin: int = 0  # nanoseconds; the start of the load, or 0 before the load's event has come
    begun: threading.Event = field(default_factory=threading.Event)
    count: Count | None = None


class Generator:
    """An open-loop generator: one thread for each load starts operations by the clock, and other threads carry the
    operations out.

    When `THREADS` operations hang, later operations start late; `intended` keeps the planned time of each operation, so
    the latency is not hidden. All threads are daemons: an interrupted run does not wait for clients that still wait for
    an answer.
    """

    def __init__(self, loads: Iterable[Load], seed: int, call: Call) -> None:
        self._call, self._stop, self._seed = call, threading.Event(), seed
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._change = threading.Condition()
        self._open = self._threads = 0
        self._abandoned = False
        self._error: Exception | None = None
        self._clocks = [_Clock(number, load) for number, load in enumerate(loads)]
        for clock in self._clocks:
            clock.count = Count(clock.load.when) if clock.load.when else None
            clock.thread = threading.Thread(target=self._run, args=(clock,), name="generator", daemon=True)

    def start(self) -> None:
        """Start the threads of all loads. For a load that does not wait for an event, the time counts from this
        call."""
        begin = now()
        for clock in self._clocks:
            if clock.count is None:
                clock.begin = begin
                clock.begun.set()
            clock.thread.start()

    def see(self, events: Iterable[Event]) -> None:
        """Tell the generator which events happened, so that loads that wait for an event may begin."""
        waiting = [clock for clock in self._clocks if clock.count and not clock.begun.is_set()]
        for event in events if waiting else ():
            for clock in waiting:
                if clock.count and clock.count.see(event):
                    clock.begin = event.at + int(clock.count.trigger.delay * NS)
                    clock.begun.set()

    @property
    def sent(self) -> bool:
        """Whether all operations were started, except those of loads whose event has not come."""
        return not any(clock.thread.is_alive() for clock in self._clocks if clock.begun.is_set())

    @property
    def waiting(self) -> bool:
        """Whether a load waits for its event."""
        return not all(clock.begun.is_set() for clock in self._clocks)

    @property
    def missed(self) -> list[str]:
        """Return one sentence for each load that never began."""
        return [f"{clock.load.operation} never began: {clock.count}" for clock in self._clocks
                if not clock.begun.is_set()]  # fmt: skip

    @property
    def done(self) -> bool:
        """Whether every operation was started and has ended, except those of loads whose event has not come."""
        return self.sent and not self._open

    def stop(self) -> None:
        """Start no more operations, and wait for the operations that run. Raises the first exception of a client's
        call."""
        self._end()
        with self._change:
            self._change.wait_for(lambda: self._abandoned or not self._open)
        if self._error:
            raise self._error

    def abandon(self) -> None:
        """Start no more operations, and do not wait for the operations that run, not even in a later `stop`."""
        self._end()
        self._abandoned = True

    def _end(self) -> None:
        self._stop.set()
        for clock in self._clocks:
            if clock.thread.ident is not None:
                clock.thread.join()
        with self._change:
            for _ in range(self._threads):
                # the value None in the queue ends a thread; the jobs before it are still carried out
                self._jobs.put(None)
            self._threads = 0

    def _run(self, clock: _Clock) -> None:
        try:
            self._send(clock)
        except Exception as error:
            self._error = self._error or error

    def _send(self, clock: _Clock) -> None:
        while not clock.begun.wait(TICK):
            if self._stop.is_set():
                return
        for n, time in enumerate(clock.load.times(stream(self._seed, "load", clock.number)), 1):
            intended = clock.begin + int(time * NS)
            if self._stop.wait(max(0.0, (intended - now()) / NS)):
                return
            key = f"op-{clock.number}-{n}" if clock.number else f"op-{n}"
            self._hand_out((clock.load.operation, key, n, intended))

    def _hand_out(self, job: Job) -> None:
        with self._change:
            self._open += 1
            self._jobs.put(job)
            if self._threads < min(self._open, THREADS):
                try:
                    threading.Thread(target=self._work, name=f"client-{self._threads + 1}", daemon=True).start()
                except RuntimeError:  # This error means that the machine allows no more threads.
                    self._open -= not self._threads  # If there is no thread at all, this job is never carried out.
                    raise
                self._threads += 1

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._call(*job)
            except Exception as error:
                self._error = self._error or error
            finally:
                with self._change:
                    self._open -= 1
                    self._change.notify_all()
