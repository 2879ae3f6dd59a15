"""Tries the cells of one experiment one by one, for pytest: keeps its points, and the processes that run trials."""

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
from brownout.explore.campaign import DISCOVERIES, VERSIONS, WHOLE, Campaign
from brownout.explore.discovery import Discovery
from brownout.explore.experiment import Experiment
from brownout.explore.maps import baseline
from brownout.explore.maps.cell import Cell, names
from brownout.explore.maps.cell_result import CellResult, Controls
from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.options import Options
from brownout.explore.session import called, explore
from brownout.plan.point import Point
from brownout.run.store import environment, versions
from brownout.run.turns import Turns
from brownout.subject.servers import ladder

UNFIT = "the stored trace no longer fits what is met ({}): pytest --cache-clear looks anew"


class CellRunner:
    """Tries the cells of one experiment one after the other; keeps the points and cells that it has."""

    def __init__(self, runners: CellRunners, experiment: Experiment, rung: ladder.Rung) -> None:
        self._runners, self._experiment, self._rung = runners, experiment, rung
        self._points: tuple[Point, ...] = ()
        self.cells: dict[str, Cell] = {}
        self._campaign: Campaign | None = None
        self._doubt = ""

    @property
    def title(self) -> str:
        """As a baseline names it."""
        return self.map().title

    def map(self, *results: CellResult) -> FaultMap:
        """These cells as a map."""
        config, load = self._experiment.configuration.name, self._experiment.workload.name
        return FaultMap(config, load, trace=self._points, cells=results, controls=Controls(1))

    def ruling(self, result: CellResult, accepted: Sequence[baseline.Accepted]) -> baseline.Ruling:
        """What the baseline makes of a cell."""
        return baseline.judge(self.map(result), accepted, datetime.now(UTC).date()).rulings[0]

    def look(self) -> None:
        """Learn the points, from the cache or from fault-free trials; one process does so, and others wait for it.

        Raises NoMap, and KeyboardInterrupt after it has cleaned up.
        """
        if self.cells:
            return
        place = self._runners.place / f"{self._key()}.json"
        with place.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._know(place):
                return
            with self._runners.turns.taken():
                found = explore(self._experiment, self._options(DISCOVERIES), lambda _: ())
            if found.stopped:
                raise KeyboardInterrupt
            points, cells = ([each.full for each in found.map.trace], [each.full for each in found.possible.values()])
            new = place.with_suffix(".new")
            new.write_text(json.dumps({"points": points, "cells": cells}, indent=1))
            new.replace(place)
            self._know(place)

    def _know(self, place: Path) -> bool:
        """Whether the file could be read: there may be none, or one that was not written here."""
        try:
            kept = json.loads(place.read_bytes())
            points = tuple(map(Point.parse, kept["points"]))
            self._points, self.cells = points, called(points, map(Cell.parse, kept["cells"]))
        except (OSError, ValueError, KeyError):
            return False
        return True

    def _options(self, jobs: int) -> Options:
        return Options(jobs=jobs, cold=0, provider=self._rung.name)

    def _key(self) -> str:
        app, of = self._experiment.application, self._experiment
        facts = [
            environment(**versions(*VERSIONS)),
            [of.configuration.name, sorted(of.configuration.settings.items()), str(of.workload), of.task, of.args],
            [str(replace(app, effects=None, accepted=None)), sorted(app.env.items()), sorted(of.kwargs.items())],
        ]
        return hashlib.blake2b(json.dumps(facts, default=str).encode(), digest_size=8).hexdigest()

    def trial(self, cell: Cell) -> CellResult:
        """Try a cell once. The first call opens the campaign, and confirms the points by a fault-free trial."""
        with self._runners.turns.taken():
            return self._trial(cell)

    def _trial(self, cell: Cell) -> CellResult:
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
            word += "; " + UNFIT.format("if it is so again")
        return replace(CellResult.of(cell, finding), seen={word: 1}, repeats=campaign.repeats - before)

    def _confirm(self, campaign: Campaign) -> None:
        """Fault-free trials meet the points that are stored, or all cells are in doubt."""
        campaign.discover(Discovery(self._points, {}))
        life, differing = set(campaign.discovery.order if campaign.discovery else ()), set[Point]()
        for attempt in range(2):  # what differs once may be chance
            finding = campaign.lasting()
            if finding.word not in WHOLE:
                self._doubt = f"without any fault: {finding.reason}"
                return
            other = life ^ set(finding.points)
            differing = differing & other if attempt else other
            if not differing:
                return
        self._doubt = UNFIT.format(", ".join(sorted(names(differing).values())))


class CellRunners:
    """What one process keeps for all cells that it tries one by one: campaigns whose processes that fork stay.

    `place` is where points are kept between two processes. Each trial takes one of the `turns`.
    """

    def __init__(self, place: Path, turns: Turns) -> None:
        self.place, self.turns = place, turns
        self._stack = ExitStack()
        self._runners: dict[str, CellRunner] = {}

    def opened(self, campaign: Campaign) -> Campaign:
        """The campaign, which stays open until `close`."""
        return self._stack.enter_context(campaign)

    def runner(self, experiment: Experiment, rung: ladder.Rung) -> CellRunner:
        """One for equal experiments."""
        return self._runners.setdefault(repr(experiment), CellRunner(self, experiment, rung))

    def close(self) -> None:
        """Close what is open."""
        self._stack.close()
