"""Makes a whole fault map: trials without a fault find the fault points, then a trial tries each cell."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Self

from brownout.explore.bounds import Bounds
from brownout.explore.discovery import Discovery, discovered
from brownout.explore.experiment import STOCK, Experiment, remarks_of
from brownout.explore.finding import Finding
from brownout.explore.maps.action import cells, chosen
from brownout.explore.maps.cell import Cell, trial_name
from brownout.explore.maps.cell_result import CellResult, Comparison, Controls
from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.maps.selection import select
from brownout.explore.options import NoMap, Options, jobs_for, spread
from brownout.explore.plans import plan_of, topology_of
from brownout.explore.trials import Trials
from brownout.history.layout import Layout, Unreadable
from brownout.run.events import Phase, Planned, Purpose, Remark, TrialEnded, trying
from brownout.subject.application import Unusable, surface
from brownout.subject.load import Load, load
from brownout.subject.processes.launcher import Launcher
from brownout.subject.servers import ladder

DISCOVERIES = 3  # Number of fault-free trials; only fault points that come in all these trials count.
CONTROL_EVERY = 20  # After this number of cells one control trial without a fault runs.
RECONCILE = 4  # Tries of a cell whose outcomes differ between forked and newly started workers.
ATTEMPTS = 3  # A cell has at most so many trials while the machine is too busy for a verdict.
WHOLE = ("once", "recovered")  # The possible outcomes of a trial without a fault.
Try = Callable[[], None]


class Campaign:
    """Runs the trials of one fault map; call the method `run` once. After `stop` was called, `map(complete=False)`
    returns the cells that were finished.

    Instead of calling `run`, a caller may do its steps: enter the context of the campaign, call `discover`, set
    `planned`, and call `attempt`. After each trial with forked processes, the trial's thread calls the function `met`
    with the trial's cells and result.
    """

    def __init__(
        self, experiment: Experiment, options: Options, met: Callable[[Sequence[Cell], Finding], None] = lambda *_: None
    ) -> None:
        self.experiment, self.options, self._met = experiment, options, met
        self.found: dict[Cell, CellResult] = {}
        self.controls: list[Finding] = []
        self.cold: dict[Cell, list[str]] = {}
        self.repeats = 0  # number of trials that were run again because the machine was busy
        self.discovery: Discovery | None = None
        self.bounds = Bounds.of({})
        self.versions: Mapping[str, str] = {}  # the versions that the application's processes really use
        self.planned: tuple[Cell, ...] = ()
        self.trials: Trials
        self._began = time.monotonic()
        self._doubtful: list[Try] = []  # trials that are run again later, because the machine was busy
        self._lock = threading.Lock()
        self._stopped = False
        self._stack = ExitStack()

    def run(self) -> FaultMap:
        """Find the points (the Redis requests and replies of a task), try every cell of the map, and return the map.
        Raises NoMap, NoRedis, and UnknownName for a filter that matches no cell."""
        with self:
            self.discover()
            self.planned = select(self.possible(self.options.actions), self.options.points)
            self.attempt()
        return self.map(complete=True)

    def __enter__(self) -> Self:
        """Start the processes that all trials share. Raises NoRedis, NotForkable for an application that cannot be
        imported."""
        rung = ladder.choose("local", self.options.provider)
        self.options.emit(Phase("looking for the points of a task's life"))
        jobs = self.options.jobs or self._suitable()
        self.trials = self._stack.enter_context(Trials(self.experiment, rung, jobs, self.options.store))
        if self._stopped:
            self.trials.stop()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def stop(self) -> None:
        """End all running trials immediately; any thread may call this method."""
        self._stopped = True
        if hasattr(self, "trials"):
            self.trials.stop()

    def _suitable(self) -> int:
        """Return how many trials run at the same time, which depends on the machine's load before the first trial."""
        found = load()
        api = self.experiment.workload.http is not None
        usual, jobs = jobs_for(Load(found.cores), api=api), jobs_for(found, api=api)
        if self.options.most:
            usual, jobs = min(usual, self.options.most), min(jobs, self.options.most)
        if jobs < usual:
            self.options.emit(Remark(f"{jobs} trials at once instead of {usual}: {found}"))
        return jobs

    def discover(self, known: Discovery | None = None) -> None:
        """Find how long trials must wait, the messages' Redis keys, and, unless `known` has them, the fault points.

        Raises NoMap when the system does not work even without a fault, or when the keys of its messages are unknown.
        """
        application, root = self.experiment.application, self.experiment.root
        told = surface(application, root, topology_of(self.experiment).settings_json)
        self.versions = told.versions
        for sentence in remarks_of(self.experiment, told.versions):
            self.options.emit(Remark(sentence))
        self.bounds = Bounds.of(told.conf, application.recovery)
        try:
            Layout.of(told.layout)
        except Unreadable as reason:
            raise NoMap(str(reason)) from reason
        self.discovery = known or self._discover()
        if not known:
            self.discovery = self._confirmed(self.discovery)

    def _confirmed(self, found: Discovery) -> Discovery:
        """Run a trial without a fault in which the network proxy keeps the requests in the order that was found; drop
        the fault points that this trial does not meet. A client that polls may send fewer requests when their order is
        fixed."""
        there = self.lasting()
        if there.word not in WHOLE:
            raise NoMap(f"without any fault, in the order of {len(found.points)} points: {there.told}")
        return found.within(there.points)

    def _discover(self) -> Discovery:
        found: list[Finding] = []
        self.options.emit(Planned(DISCOVERIES + 1, Purpose.DISCOVERY))
        self.trials.together([lambda: found.append(self._attempted((), 1)) for _ in range(DISCOVERIES)])
        # Only after all trials have ended, the trials without a verdict are repeated, one after the other.
        first = [self.lasting(attempts=1) if finding.busy else finding for finding in found]
        for finding in first:
            if finding.unusable:
                raise Unusable(finding.unusable)
            if finding.word not in WHOLE:
                raise NoMap(f"without any fault: {finding.told}")
        self._in_force([finding.acked for finding in first if finding.acked])
        return discovered(first)

    def _in_force(self, acked: Sequence[str]) -> None:
        """Raise NoMap when workers acknowledge messages at another time than `task_acks_late` asks for.

        Workers use an old value if Celery copied the setting before brownout replaced it. A late acknowledgement never
        comes before the effect; on a busy machine an early acknowledgement may come after the effect. Workers therefore
        acknowledge late only if the effect comes first in all trials, also in the last trials, which run alone.
        """
        wanted = self.experiment.configuration.settings.get(
            "task_acks_late", False if self.experiment.application == STOCK else None
        )
        if wanted is None or not acked:
            return
        if wanted and "before" in acked:
            raise NoMap("the configuration is not in force: a message is acknowledged before its effect")
        if not wanted and "before" not in acked and all(self.lasting().acked == "after" for _ in range(ATTEMPTS)):
            raise NoMap("the configuration is not in force: a message is acknowledged after its effect")

    def possible(self, actions: Collection[str] = ("all",)) -> tuple[Cell, ...]:
        """Return every cell that makes sense at the fault points that were found."""
        assert self.discovery
        fit = chosen(actions, self.experiment.application.pool)
        return cells(self.discovery.points, self.discovery.samples, fit)

    @property
    def own(self) -> tuple[Cell, ...]:
        """The planned cells that this shard (one machine's share) tries. Shards have about equally many long trials."""
        shard = self.options.shard
        return shard.share(self.planned, lambda cell: f"{cell.action} {cell.full}") if shard else self.planned

    def attempt(self) -> None:
        """Run the trials of the shard's cells, the control trials without a fault, and the trials whose processes are
        not forked but started by their command lines."""
        todo = sorted(self.own * self.options.repeat, key=self.bounds.place)
        sample = set(spread(self.own, self.options.cold))
        tries = self.controlled([partial(self._cell, cell) for cell in todo])
        tries[1:1] = [partial(self._cold, cell) for cell in sample]
        self.trials.together(tries)
        self.try_again()
        self.trials.together([partial(self._reconcile, cell) for cell in self.cold])
        self.try_again()

    def _reconcile(self, cell: Cell) -> None:
        """Try a cell again when forked processes and processes started by their command lines (cold) gave different
        outcomes. If the outcome of a cell depends on chance, forked and newly started processes show the same outcomes
        after some repetitions."""
        for _ in range(RECONCILE):
            if not self._compared(cell).differs:
                return
            self._cell(cell)
            self._cold(cell)

    def _compared(self, cell: Cell) -> Comparison:
        return Comparison(cell.full, self.found[cell].words, tuple(dict.fromkeys(self.cold[cell])))

    def doubted(self, finding: Finding, attempt: int, again: Try) -> bool:
        """Whether the trial will be run again, because the machine was too busy for a verdict."""
        if not finding.busy or attempt >= ATTEMPTS:
            return False
        with self._lock:
            self.repeats += 1
            self._doubtful.append(again)
        return True

    def try_again(self) -> None:
        """After all other trials have ended, repeat the trials that had no verdict because of a busy machine, one after
        the other."""
        while self._doubtful:
            todo, self._doubtful = self._doubtful, []
            self.trials.together(todo, 1)

    def controlled(self, tries: Sequence[Try]) -> list[Try]:
        """Return the planned trials, with a control trial without a fault before every twentieth of them."""
        mixed: list[Try] = []
        for n, try_ in enumerate(tries):
            mixed += [try_] if n % CONTROL_EVERY else [self._control, try_]
        return mixed

    def trial(self, launcher: Launcher, schedule: Sequence[Cell] = ()) -> Finding:
        """Run one trial of these cells; without cells, a trial without a fault."""
        order = self.discovery.order if self.discovery else ()
        with trying(self.options.emit, trial_name(*schedule)):
            finding = self.trials.trial(plan_of(self.experiment, self.bounds, schedule, order), launcher, schedule)
        if launcher is self.trials.forked:
            self._met(schedule, finding)
        return finding

    def lasting(self, schedule: Sequence[Cell] = (), attempts: int = 0) -> Finding:
        """Run one trial. If the machine was too busy for a verdict, run the trial again immediately and alone, and
        again until there is a verdict or no try is left. `attempts` trials went before; `repeats` counts the repeated
        trials."""
        while True:
            attempts += 1
            finding = self._attempted(schedule, attempts)
            if not finding.busy or attempts >= ATTEMPTS:
                return finding

    def _attempted(self, schedule: Sequence[Cell], attempt: int) -> Finding:
        purpose = Purpose.PLANNED if schedule else Purpose.DISCOVERY
        with self.options.turn(alone=attempt > 1, stopped=lambda: self._stopped):
            finding = self.trial(self.trials.forked, schedule)
        again = finding.busy and attempt < ATTEMPTS
        with self._lock:
            self.repeats += again
        self.options.emit(TrialEnded(trial_name(*schedule), finding, attempt, again, purpose))
        return finding

    def _control(self, attempt: int = 1) -> None:
        finding = self.trial(self.trials.forked)
        again = self.doubted(finding, attempt, partial(self._control, attempt + 1))
        if not again:
            self.controls.append(finding)
        self.options.emit(TrialEnded(trial_name(), finding, attempt, again, Purpose.CONTROL))

    def _cell(self, cell: Cell, attempt: int = 1) -> None:
        finding = self.trial(self.trials.forked, [cell])
        again = self.doubted(finding, attempt, partial(self._cell, cell, attempt + 1))
        result = replace(CellResult.of(cell, finding), repeats=attempt - 1)
        if not again:
            with self._lock:
                self.found[cell] = self.found[cell].merged(result) if cell in self.found else result
        self.options.emit(TrialEnded(trial_name(cell), result, attempt, again))

    def _cold(self, cell: Cell, attempt: int = 1) -> None:
        finding = self.trial(self.trials.cold, [cell])
        again = self.doubted(finding, attempt, partial(self._cold, cell, attempt + 1))
        if not again:
            with self._lock:
                self.cold.setdefault(cell, []).append(finding.seen)
        self.options.emit(TrialEnded(trial_name(cell), finding, attempt, again, Purpose.COMPARISON))

    def map(self, *, complete: bool) -> FaultMap:
        """Return the fault map of the cells that were tried so far."""
        known = self.discovery
        bad = tuple(finding.reason for finding in self.controls if finding.word not in WHOLE)
        return FaultMap(
            name=self.experiment.configuration.name,
            workload=self.experiment.workload.name,
            options=self.options.words,
            settings=self.experiment.configuration.shown,
            versions=self.versions,
            bounds=self.bounds.to_json(),
            trace=known.points if known else (),
            cells=tuple(self.found[cell] for cell in self.planned if cell in self.found),
            controls=Controls(len(self.controls), bad),
            repeats=self.repeats,
            cold=tuple(self._compared(cell) for cell in self.cold if cell in self.found),
            seconds=time.monotonic() - self._began,
            complete=complete,
            part=known is None or not set(self.possible(["standard"])) <= set(self.planned),
            shard=str(self.options.shard or ""),
        )
