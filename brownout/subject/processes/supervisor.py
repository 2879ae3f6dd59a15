"""Restarts a process that has ended by itself, as systemd or a container platform does in production."""

import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from brownout.subject.processes.process import Process

LOOK = 1.0  # seconds between two checks whether `stop` was called while the process runs


@dataclass(frozen=True, slots=True)
class Exit:
    """One exit of the supervised process that `Supervisor.stop` did not cause."""

    at: int  # the time of the exit in nanoseconds of CLOCK_MONOTONIC
    pid: int
    code: int  # the exit code; negative after a signal


class Supervisor:
    """Keeps one process of the subject running. `current` is the process that was started last, and `exits` has the
    exits that `stop` did not cause.

    A process is restarted `delay` seconds after it has ended, at most `budget` times.
    """

    def __init__(self, name: str, launch: Callable[[], Process], *, budget: int, delay: float) -> None:
        self.name = name
        self.exits: list[Exit] = []
        self.restarts = 0
        self.gave_up = ""  # the reason why the supervisor does not restart the process any more; "" while it still does
        self._launch, self._budget, self._delay = launch, budget, delay
        self._stopping = threading.Event()
        # The lock is held while a process is started, so that stop() stops the new process
        self._lock = threading.Lock()
        self.born = time.monotonic()  # the time (s) at which the current process was started
        self.current = self._launch()
        self._thread = threading.Thread(target=self._watch, name=f"supervise {name}", daemon=True)
        self._thread.start()

    def stop(self, sig: int = signal.SIGTERM, within: float = 10.0) -> int:
        """End the process without a restart; returns its exit code."""
        with self._lock:
            self._stopping.set()
        code = self.current.stop(sig, within)
        self._thread.join()
        return code

    def _watch(self) -> None:
        while not self._stopping.is_set():
            if not self.current.handle.ended(LOOK):
                continue
            if self._stopping.is_set():
                return
            code = self.current.kill()  # kill the remaining members of the old process group before the restart
            self.exits.append(Exit(time.monotonic_ns(), self.current.pid, code))
            if len(self.exits) > self._budget:
                self.gave_up = f"{self.name} ended {len(self.exits)} times; the restart limit is {self._budget}"
                return
            self._stopping.wait(self._delay)
            with self._lock:
                if self._stopping.is_set():
                    return
                self.born = time.monotonic()
                try:
                    self.current = self._launch()
                except (OSError, RuntimeError) as error:
                    self.gave_up = f"{self.name} cannot be started again: {error}"
                    return
                self.restarts += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def supervise(
    name: str,
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    budget: int = 5,
    delay: float = 0.1,
) -> Supervisor:
    """Launch a process (see Process.launch) and restart the process whenever it ends by itself.

    There are at most `budget` restarts, each `delay` seconds after the end (systemd's default RestartSec is 100 ms).
    Before a restart the remaining members of the old process group are killed, as systemd does by default (KillMode).
    """
    launch = partial(Process.launch, name, argv, log=log, env=env, cwd=cwd)
    return Supervisor(name, launch, budget=budget, delay=delay)
