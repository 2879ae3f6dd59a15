"""Runs the trials of a campaign of cells or pairs, several at the same time."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Any, Self

from brownout.explore.experiment import Experiment
from brownout.explore.finding import Finding, broken, finding_of
from brownout.explore.maps.cell import Cell
from brownout.plan.plan import Plan
from brownout.run.result import Result
from brownout.run.setting import Setting
from brownout.run.store import Store, write
from brownout.run.trial import Trial
from brownout.run.turns import Stopped
from brownout.subject.processes import custody
from brownout.subject.processes.forks import Forked
from brownout.subject.processes.launcher import Cold, Launcher
from brownout.subject.processes.launchers import forks_of
from brownout.subject.servers.ladder import Rung
from brownout.wire.interface import AnyWire
from brownout.wire.tcp.wire import Wire

Job = Callable[[], None]
HEED = 0.2  # seconds after which a signal is handled at the latest
CAPSULE = ("plan.json", "env.json", "conf.json", "results.json", "history.ndjson")


class Scratch:
    """A folder for the traces of trials that are not kept. Trials take turns with the trials of other processes that
    use the folder `root` (default: the folder of this object)."""

    def __init__(self, folder: Path, root: Path | None = None) -> None:
        self.root, self._folder = root or folder, folder
        self._numbers = count(1)

    def place(self, scenario: str) -> Path:  # noqa: ARG002 - every trial has a number of its own
        """Return a new folder for a trial."""
        place = self._folder / f"{next(self._numbers)}"
        (place / "log").mkdir(parents=True)
        return place


class Trials:
    """Runs trials of one experiment within a `with` block. Several threads may call `trial`; the method `together` runs
    functions on `jobs` threads.

    For each schedule, `store` keeps the capsule of the first trial that breaks a promise.
    """

    def __init__(self, experiment: Experiment, rung: Rung, jobs: int, store: Store | None = None) -> None:
        self.experiment, self._rung, self._store = experiment, rung, store
        self._kept: set[str] = set()  # names of trials whose capsule is kept
        self._keeping = threading.Lock()
        self._jobs = jobs
        self._stopping = threading.Event()
        self._stack = ExitStack()
        self.cold = Cold()
        self.forked: Forked

    def __enter__(self) -> Self:
        folder = custody.make_directory("brownout-map-")
        self._stack.callback(_remove, folder)
        self._scratch = Scratch(folder)
        try:
            self.forked = self._stack.enter_context(forks_of(self.experiment.application, self.experiment.root))
            pool = ThreadPoolExecutor(self._jobs, thread_name_prefix="trial")
            self._stack.callback(pool.shutdown, cancel_futures=True)
            self._stack.callback(self._stopping.set)
            self._pool = pool
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def stop(self) -> None:
        """End all running trials immediately; each of them raises Stopped."""
        self._stopping.set()

    def trial(self, plan: Plan, launcher: Launcher, schedule: Sequence[Cell] = ()) -> Finding:
        """Run one trial of a plan. When a trial itself fails with an error, its outcome is "unknown". Raises Stopped
        after `stop` was called."""
        if self._stopping.is_set():
            raise Stopped
        began, folder = time.monotonic(), None
        setting = Setting(
            " ".join([self.experiment.title, *(cell.full for cell in schedule)]),
            self.experiment.application,
            self.experiment.root,
            self._scratch,
            self._rung,
            builtin_wire,
            launcher,
            application_name=self.experiment.application_name,
            stopped=self._stopping.is_set,
        )
        try:
            trial = Trial(plan, setting)
            folder = trial.folder
            result = trial.run()
            finding = finding_of(result, self.experiment, schedule)
            if self._store and result.validity == "invalid":
                # if the disk is full, the capsule (the stored trial) is lost, but not the outcome
                with suppress(OSError):
                    self._keep(result, self._store)
            return finding
        except Exception as wrong:
            return broken(wrong, time.monotonic() - began, folder)
        finally:
            if folder:
                shutil.rmtree(folder, ignore_errors=True)

    def _keep(self, result: Result, store: Store) -> None:
        with self._keeping:
            if result.scenario in self._kept:
                return
            self._kept.add(result.scenario)
        place = store.place(result.scenario)
        write(result.folder / "results.json", result.summary())
        for name in CAPSULE:
            shutil.copy(result.folder / name, place)

    def together(self, jobs: Iterable[Job], at_once: int = 0) -> None:
        """Run all jobs, at most `at_once` at the same time; if `at_once` is 0, as many at the same time as there are
        threads. After an error no more jobs start, and the error is raised."""
        limit = threading.Semaphore(at_once or self._jobs)

        def limited(job: Job) -> None:
            with limit:
                job()

        futures: list[Future[Any]] = [self._pool.submit(limited, job) for job in jobs]
        try:
            _until_error(futures)
        finally:
            for future in futures:
                future.cancel()
        for future in futures:
            if not future.cancelled():
                future.result()


def _until_error(futures: Collection[Future[Any]]) -> None:
    """Wait until all futures are done, or until one of them has raised.

    The kernel may give SIGINT to any thread, and Python calls the handler in the main thread alone. A main thread that
    waits without a time limit would not call the handler before the wait is over.
    """
    left = set(futures)
    while left:
        done, left = wait(left, timeout=HEED, return_when=FIRST_EXCEPTION)
        if any(future.exception() for future in done):
            return


def builtin_wire(seed: int, on_event: Callable[[str, dict[str, Any]], None], _: Path) -> AnyWire:
    """Return a built-in network proxy that is started."""
    return Wire(seed=seed, on_event=on_event).start()


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        if not folder.exists():
            custody.release_directory(folder)
