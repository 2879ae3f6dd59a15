"""How many trials run at once, and which of them run alone.

All processes that write to one store take turns: each trial holds one of a few slots, a trial that must be alone holds
all of them. Slots are locks on files, so a process that is killed gives its slot back. Whoever wants one holds the gate
meanwhile, so those who come later wait behind a trial that must be alone.
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

LOOK = 0.05  # s between two tries to take a slot
SOON = 1.0  # s; a bound below it can be measured only without other trials beside it


def most_at_once(cores: int) -> int:
    """Trials on an idle machine: they wait more than they work."""
    return 2 * cores


def at_once(cores: int, others: float) -> int:
    """Trials beside so many `others` that want a CPU: one less for each that has no core for itself."""
    return max(cores, most_at_once(cores) - round(max(0.0, others - cores)))


def measures_soon(plan: Plan) -> bool:
    """Whether a promise of the plan has a bound under a second."""
    return any(map(_measures_soon, plan.promises))


def _measures_soon(promise: Promise) -> bool:
    args = promise.args
    if under := args.get("under"):
        return _measures_soon(Promise(under["name"], under["args"]))
    bounds = (args.get(name) for name in ("within", "floor", "limit"))
    return any(bound is not None and bound < SOON for bound in bounds)


def running() -> float:
    """How many threads run or want to run on the CPUs that this process may use; 0 where nobody tells."""
    return load(LOOK).wanted


@dataclass(frozen=True)
class Turns:
    """The slots of one place; `cores` is how many CPUs this process may use, unless a test gives another."""

    place: Path
    cores: int = field(default_factory=usable_cpus)
    load: Callable[[], float] = running

    @contextmanager
    def taken(self, *, alone: bool = False) -> Iterator[None]:
        """Hold a slot, or all of them; waits for as long as it takes."""
        self.place.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            with ExitStack() as waiting:
                gate = self._open(waiting, "gate")
                fcntl.flock(gate, fcntl.LOCK_EX)
                self._wait(held, alone=alone)
            yield

    def _wait(self, held: ExitStack, *, alone: bool) -> None:
        files = [self._open(held, f"slot-{n}") for n in range(most_at_once(self.cores))]
        if alone:
            for file in files:
                fcntl.flock(file, fcntl.LOCK_EX)
            return
        while True:
            free = [file for file in files if _locked(file)]
            taken = len(files) - len(free)
            for file in free[1:]:
                fcntl.flock(file, fcntl.LOCK_UN)
            # Each running trial wants about one CPU, as every other program that wants one does.
            if free and (not taken or taken < at_once(self.cores, self.load() - taken)):
                return
            for file in free[:1]:
                fcntl.flock(file, fcntl.LOCK_UN)
            time.sleep(LOOK)

    def _open(self, stack: ExitStack, name: str) -> int:
        file = os.open(self.place / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        stack.callback(os.close, file)
        stack.callback(fcntl.flock, file, fcntl.LOCK_UN)  # a child that was forked may keep the file open
        return file


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
