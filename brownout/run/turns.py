"""Decides how many trials run at the same time, and which trials run alone.

The trials of all processes that store trials in the same folder take turns. While it runs, each trial holds one slot
(the permission to run); a trial that must run alone holds all slots. Slots, the permissions to run a trial, are locks
on files, so a process that is killed frees its slot. A trial that waits for a slot (the permission to run) also holds a
lock named "gate", so that later trials cannot overtake a trial that must run alone.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from brownout.plan.plan import Plan
from brownout.plan.promise import Promise
from brownout.subject.cpus import usable_cpus
from brownout.subject.load import load

LOOK = 0.05  # Seconds between two tries to get the permission to run.
SOON = 1.0  # Seconds; when a promise of a trial has a shorter time limit, the trial must run alone.


def most_at_once(cores: int) -> int:
    """The number of trials that may run at the same time on an idle machine: twice its cores, as trials mostly wait."""
    return 2 * cores


def at_once(cores: int, others: float) -> int:
    """The number of trials that may run beside `others` threads that want a CPU.

    The result is the number for an idle machine, minus one for each thread of another program that has no core for
    itself; the result is never less than `cores`.
    """
    return max(cores, most_at_once(cores) - round(max(0.0, others - cores)))


def measures_soon(plan: Plan) -> bool:
    """Whether a promise of the plan has a time limit of less than SOON seconds."""
    return any(map(_measures_soon, plan.promises))


def _measures_soon(promise: Promise) -> bool:
    args = promise.args
    if under := args.get("under"):
        return _measures_soon(Promise(under["name"], under["args"]))
    bounds = (args.get(name) for name in ("within", "floor", "limit"))
    return any(bound is not None and bound < SOON for bound in bounds)


def running() -> float:
    """The number of threads that run or want to run on the CPUs of this process; 0 where the kernel tells none."""
    return load(LOOK).wanted


class Stopped(BaseException):
    """The trial was told to end immediately: all processes are stopped, and no promise is judged."""


@dataclass(frozen=True)
class Turns:
    """The permissions to run a trial (slots): lock files in the folder `place`; `cores` is how many CPUs this process
    may use."""

    place: Path
    cores: int = field(default_factory=usable_cpus)
    load: Callable[[], float] = running

    @contextmanager
    def taken(self, *, alone: bool = False, stopped: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Within the block, hold one slot (the permission to run a trial), or all slots if `alone` is true. The wait
        for a slot (the permission to run a trial) may take any time. Raises Stopped when `stopped()` becomes true
        during the wait."""
        self.place.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            with ExitStack() as waiting:
                _lock(self._open(waiting, "gate"), stopped)
                self._wait(held, stopped, alone=alone)
            yield

    def _wait(self, held: ExitStack, stopped: Callable[[], bool], *, alone: bool) -> None:
        files = [self._open(held, f"slot-{n}") for n in range(most_at_once(self.cores))]
        if alone:
            for file in files:
                _lock(file, stopped)
            return
        while True:
            free = [file for file in files if _locked(file)]
            taken = len(files) - len(free)
            for file in free[1:]:
                fcntl.flock(file, fcntl.LOCK_UN)
            # A running trial uses about one CPU. The measured load of the machine includes the trials that run now, so
            # these trials are subtracted.
            if free and (not taken or taken < at_once(self.cores, self.load() - taken)):
                return
            for file in free[:1]:
                fcntl.flock(file, fcntl.LOCK_UN)
            _pause(stopped)

    def _open(self, stack: ExitStack, name: str) -> int:
        file = os.open(self.place / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        stack.callback(os.close, file)
        # Unlock explicitly, because a forked child may keep the file, and so the lock, open
        stack.callback(fcntl.flock, file, fcntl.LOCK_UN)
        return file


def _lock(file: int, stopped: Callable[[], bool]) -> None:
    """Wait for the lock. A wait inside `flock` would go on after a signal whose handler only notes the signal."""
    while not _locked(file):
        _pause(stopped)


def _pause(stopped: Callable[[], bool]) -> None:
    if stopped():
        raise Stopped
    time.sleep(LOOK)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
