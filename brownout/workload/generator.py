"""Carries loads out: every operation at its intended time, however slow the subject is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from brownout.history.event import now
from brownout.plan.operation import Http, Load, Submit
from brownout.plan.seed import stream

THREADS = 64
NS = 1_000_000_000
Call = Callable[[Submit | Http, str, int, int], None]  # operation, key, number, intended time


class Generator:
    """Open-loop: a thread hands operations out by the clock, a pool carries them out.

    When more than `THREADS` of them hang, the next ones begin late; `intended` tells, so latency is not hidden.
    """

    def __init__(self, loads: Iterable[Load], seed: int, call: Call) -> None:
        self._call, self._stop = call, threading.Event()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="client")
        self._running: list[Future[None]] = []
        schedule: list[tuple[float, int, Load]] = []
        for number, load in enumerate(loads):
            chance = stream(seed, "load", number)
            schedule += [(time, number, load) for time in load.times(chance)]
        self._schedule = sorted(schedule, key=lambda entry: entry[:2])
        self._thread = threading.Thread(target=self._run, name="generator", daemon=True)

    def start(self) -> None:
        """Begin; the load's time counts from now."""
        self._thread.start()

    def _run(self) -> None:
        begin, count = now(), dict.fromkeys((number for _, number, _ in self._schedule), 0)
        for time, number, load in self._schedule:
            intended = begin + int(time * NS)
            if self._stop.wait(max(0.0, (intended - now()) / NS)):
                return
            count[number] += 1
            n = count[number]
            key = f"op-{number}-{n}" if number else f"op-{n}"
            self._running.append(self._pool.submit(self._call, load.operation, key, n, intended))

    @property
    def done(self) -> bool:
        """Whether every operation was begun and came back."""
        return not self._thread.is_alive() and all(each.done() for each in self._running)

    @property
    def sent(self) -> bool:
        """Whether every operation was begun."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Begin no more. Raises what a call raised, which would be a mistake of the harness."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for each in self._running:
            if not each.cancelled():
                each.result()
