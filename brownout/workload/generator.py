"""Carries loads out: every operation at its intended time, however slow the subject is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue

from brownout.history.event import now
from brownout.plan.operation import Http, Load, Submit
from brownout.plan.seed import stream

THREADS = 64
NS = 1_000_000_000
Call = Callable[[Submit | Http, str, int, int], None]  # operation, key, number, intended time
Job = tuple[Submit | Http, str, int, int]


class Generator:
    """Open-loop: a thread hands operations out by the clock, others carry them out.

    When more than `THREADS` of them hang, the next ones begin late; `intended` tells, so latency is not hidden. The
    threads are daemons: a run that is interrupted does not wait for what a client still waits for.
    """

    def __init__(self, loads: Iterable[Load], seed: int, call: Call) -> None:
        self._call, self._stop = call, threading.Event()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._change = threading.Condition()
        self._open = self._threads = 0
        self._abandoned = False
        self._wrong: Exception | None = None
        schedule: list[tuple[float, int, Load]] = []
        for number, load in enumerate(loads):
            chance = stream(seed, "load", number)
            schedule += [(time, number, load) for time in load.times(chance)]
        self._schedule = sorted(schedule, key=lambda entry: entry[:2])
        self._clock = threading.Thread(target=self._run, name="generator", daemon=True)

    def start(self) -> None:
        """Begin; the load's time counts from now."""
        self._clock.start()

    @property
    def sent(self) -> bool:
        """Whether every operation was begun."""
        return not self._clock.is_alive()

    @property
    def done(self) -> bool:
        """Whether every operation was begun and came back."""
        return self.sent and not self._open

    def stop(self) -> None:
        """Begin no more, and wait for what was begun. Raises what a call raised, a mistake of the harness."""
        self._end()
        with self._change:
            self._change.wait_for(lambda: self._abandoned or not self._open)
        if self._wrong:
            raise self._wrong

    def abandon(self) -> None:
        """Begin no more, and forget what was begun: a `stop` that follows waits for nothing."""
        self._end()
        self._abandoned = True

    def _end(self) -> None:
        self._stop.set()
        if self._clock.ident is not None:
            self._clock.join()
        with self._change:
            for _ in range(self._threads):
                self._jobs.put(None)  # behind the jobs that wait: they are carried out
            self._threads = 0

    def _run(self) -> None:
        begin, count = now(), dict.fromkeys((number for _, number, _ in self._schedule), 0)
        for time, number, load in self._schedule:
            intended = begin + int(time * NS)
            if self._stop.wait(max(0.0, (intended - now()) / NS)):
                return
            count[number] += 1
            n = count[number]
            key = f"op-{number}-{n}" if number else f"op-{n}"
            self._hand_out((load.operation, key, n, intended))

    def _hand_out(self, job: Job) -> None:
        with self._change:
            self._open += 1
            if self._threads < min(self._open, THREADS):
                self._threads += 1
                threading.Thread(target=self._work, name=f"client-{self._threads}", daemon=True).start()
            self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._call(*job)
            except Exception as error:
                self._wrong = self._wrong or error
            with self._change:
                self._open -= 1
                self._change.notify_all()
