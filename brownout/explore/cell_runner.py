"""Tries the cells of one experiment one by one, for pytest, and keeps the fault points and the forking processes
between cells."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from brownout.check.words import UNKNOWN
from brownout.explore.campaign import DISCOVERIES, WHOLE, Campaign
from brownout.explore.discovery import Discovery
from brownout.explore.experiment import Experiment
from brownout.explore.maps import baseline
from brownout.explore.maps.cell import Cell, names
from brownout.explore.maps.cell_result import CellResult, Controls
from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.options import NoMap, Options
from brownout.explore.plans import topology_of
from brownout.explore.session import called, explore
from brownout.plan.point import Point
from brownout.run.events import Handler, nobody
from brownout.run.store import environment
from brownout.run.turns import Turns
from brownout.subject.application import surface
from brownout.subject.servers import ladder

RUNS = 20  # so many runs are remembered whose search for the points failed; more do not run at the same time
UNFIT = "without a fault the points differ from the stored trace ({}); `pytest --cache-clear` finds them anew"


class CellRunner:
    """Tries the cells of one experiment one after the other; keeps the experiment's fault points and cells."""

    def __init__(self, runners: CellRunners, experiment: Experiment, rung: ladder.Rung) -> None:
        self._runners, self._experiment, self._rung = runners, experiment, rung
        self._points: tuple[Point, ...] = ()
        self.cells: dict[str, Cell] = {}
        self._campaign: Campaign | None = None
        self._doubt = ""

    @property
    def title(self) -> str:
        """The title of the fault map; a baseline file names the fault map by this title."""
        return self.map().title

    def map(self, *results: CellResult) -> FaultMap:
        """Return a fault map that has these results of cells."""
        config, load = self._experiment.configuration.name, self._experiment.workload.name
        return FaultMap(config, load, trace=self._points, cells=results, controls=Controls(1))

    def ruling(self, result: CellResult, accepted: Sequence[baseline.Accepted]) -> baseline.Ruling:
        """Return whether the baseline (the file of accepted outcomes) accepts the outcome of a cell."""
        return baseline.judge(self.map(result), accepted, datetime.now(UTC).date()).rulings[0]

    def look(self, emit: Handler = nobody) -> None:
        """Find the points, in the cache or with fault-free trials. Only one pytest process runs the fault-free trials;
        the other pytest processes of the same run wait for its result, which is the result of all of them.

        Raises NoMap when the fault-free trials find no fault points. Raises KeyboardInterrupt after a signal, when all
        trials have ended.
        """
        if self.cells:
            return
        place = self._runners.place / f"{self._key()}.json"
        with place.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another run may have found the points since: all processes of this run must have the same tests.
            failed = _failures(place.with_suffix(".failed"))
            if why := failed.get(self._runners.run):
                raise NoMap(why)
            if self._know(place):
                return
            try:
                found = explore(self._experiment, replace(self._options(DISCOVERIES), emit=emit), lambda _: ())
            except NoMap as reason:
                newest = [*failed.items(), (self._runners.run, str(reason))][-RUNS:]
                _write(place.with_suffix(".failed"), dict(newest))
                raise
            if found.stopped:
                raise KeyboardInterrupt
            points, cells = ([point.full for point in found.map.trace], [cell.full for cell in found.possible.values()])
            _write(place, {"points": points, "cells": cells})
            self._know(place)

    def _know(self, place: Path) -> bool:
        """Read the fault points and cells from the cache file; returns False when the file is missing or has another
        format."""
        try:
            kept = json.loads(place.read_bytes())
            points = tuple(map(Point.parse, kept["points"]))
            self._points, self.cells = points, called(points, map(Cell.parse, kept["cells"]))
        except (OSError, ValueError, KeyError):
            return False
        return True

    def _options(self, jobs: int) -> Options:
        return Options(jobs=jobs, cold=0, provider=self._rung.name, turn=self._runners.turns.taken)

    def _key(self) -> str:
        app, of = self._experiment.application, self._experiment
        facts = [
            environment(**surface(app, of.root, topology_of(of).settings_json).versions),
            [of.configuration.name, sorted(of.configuration.settings.items()), str(of.workload), of.task, of.args],
            [str(replace(app, effects=None, accepted=None)), sorted(app.env.items()), sorted(of.kwargs.items())],
        ]
        return hashlib.blake2b(json.dumps(facts, default=str).encode(), digest_size=8).hexdigest()

    def trial(self, cell: Cell) -> CellResult:
        """Run one trial of a cell. The first call opens the campaign, and confirms the fault points by a fault-free
        trial."""
        if self._campaign is None:
            campaign = self._runners.opened(Campaign(self._experiment, self._options(1)))
            self._confirm(campaign)
            self._campaign = campaign
        if self._doubt:
            return CellResult(cell, {f"{UNKNOWN}: {self._doubt}": 1})
        campaign = self._campaign
        before = campaign.repeats
        finding = campaign.lasting([cell])
        word = finding.seen
        if finding.why and not finding.reached and not finding.trouble:
            word += "; " + UNFIT.format("if the next run says the same")
        return replace(CellResult.of(cell, finding), seen={word: 1}, repeats=campaign.repeats - before)

    def _confirm(self, campaign: Campaign) -> None:
        """Compare the fault points that a trial without a fault meets with the stored points. When the fault points
        differ in two trials, no cell has a certain verdict."""
        campaign.discover(Discovery(self._points, {}))
        life, differing = set(campaign.discovery.order if campaign.discovery else ()), set[Point]()
        for attempt in range(2):  # when the fault points differ in only one of two trials, this may be chance
            finding = campaign.lasting()
            if finding.word not in WHOLE:
                self._doubt = f"without any fault: {finding.reason}"
                return
            difference = life ^ set(finding.points)
            differing = differing & difference if attempt else difference
            if not differing:
                return
        self._doubt = UNFIT.format(", ".join(sorted(names(differing).values())))


class CellRunners:
    """The cell runners of one pytest process. The campaigns of the runners, with the processes that fork workers, stay
    open until `close` is called.

    `place` is the folder through which several pytest processes share the fault points that were found; the processes
    of one run have the same name `run`. Each trial waits for its turn (`turns`), because only some trials may run at
    the same time.
    """

    def __init__(self, place: Path, turns: Turns, run: str) -> None:
        self.place, self.turns, self.run = place, turns, run
        self._stack = ExitStack()
        self._runners: dict[str, CellRunner] = {}

    def opened(self, campaign: Campaign) -> Campaign:
        """Enter the campaign's context; it stays open until `close` is called."""
        return self._stack.enter_context(campaign)

    def runner(self, experiment: Experiment, rung: ladder.Rung) -> CellRunner:
        """Return the runner of the experiment's cells; equal experiments share one runner."""
        return self._runners.setdefault(repr(experiment), CellRunner(self, experiment, rung))

    def close(self) -> None:
        """Close the open campaigns."""
        self._stack.close()


def _failures(place: Path) -> dict[str, str]:
    """Return why the newest runs found no fault points, by the names of the runs."""
    try:
        kept = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(run): str(why) for run, why in kept.items()} if isinstance(kept, dict) else {}


def _write(place: Path, content: object) -> None:
    """Write the content as JSON; a process that reads the file sees the old or the new content, never a part."""
    new = place.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1))
    new.replace(place)
