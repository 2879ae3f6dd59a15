"""Cells of a fault map as pytest's items, each one trial: `pytest_generate_tests = fault_map(...)`."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import shlex
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import pytest

from brownout.explore import baseline
from brownout.explore.action import chosen
from brownout.explore.campaign import DISCOVERIES, VERSIONS, Campaign, Discovery, NoMap, Options
from brownout.explore.cell import UNKNOWN, Cell, Point, names, parts
from brownout.explore.faultmap import CellResult, Controls, FaultMap
from brownout.explore.mission import Mission
from brownout.explore.selection import select
from brownout.explore.session import called, explore, mission
from brownout.report.grid import detail, plain
from brownout.run.store import environment, versions
from brownout.subject import ladder
from brownout.subject.application import Application
from brownout.wire.wire import Wire

T = TypeVar("T")
UNFIT = "the stored trace no longer fits what is met ({}): pytest --cache-clear looks anew"
Generate = Callable[[pytest.Metafunc], None]


def fault_map(
    *,
    config: str = "defaults",
    workload: str = "task",
    points: Sequence[str] = (),
    actions: Sequence[str] = ("standard",),
    settings: Mapping[str, Any] | None = None,
    application: Application | None = None,
    task: str = "",
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    baseline: str | None = None,
    argument: str = "cell",
) -> Generate:
    """A module's `pytest_generate_tests`: each test with the argument `cell` becomes one item a cell.

    What is not given is as `brownout map` has it: the stock application, Celery's defaults, all points, the standard
    actions. The points are those of a fault-free life, looked for at the first collection and kept in pytest's cache.
    `baseline` is a file of accepted cells, from the root directory. Raises UnknownName for a misspelt action; other
    names are checked at collection.
    """
    chosen(actions)
    given: dict[str, Any] = {
        **{"config": config, "workload": workload, "settings": settings, "application": application},
        **{"task": task, "args": args, "kwargs": kwargs},
    }

    def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
        if argument not in metafunc.fixturenames:
            return
        sitting = Sitting.of(metafunc.config)
        try:
            rung = sitting.rung()
        except ladder.NoRedis as error:
            skipped = pytest.param(None, id="no-redis", marks=pytest.mark.skip(reason=str(error)))
            metafunc.parametrize(argument, [skipped])
            return
        try:
            stand = sitting.stand(mission(metafunc.config.rootpath, **given), rung)
            stand.look()
            asked = {action.name for action in chosen(actions)}
            wanted = set(select([cell for cell in stand.cells.values() if cell.action in asked], points))
            accepted = _accepted(metafunc.config.rootpath / baseline, stand) if baseline else None
        except (ValueError, OSError, NoMap) as error:
            raise pytest.Collector.CollectError(str(error)) from error
        items = [MapCell(name, cell, stand, accepted) for name, cell in stand.cells.items() if cell in wanted]
        metafunc.parametrize(argument, items, ids=[each.name for each in items])

    return pytest_generate_tests


@dataclass
class MapCell:
    """The argument of a test: a cell that was not tried yet."""

    name: str
    cell: Cell
    stand: Stand = field(repr=False)
    accepted: tuple[baseline.Accepted, ...] | None = field(default=None, repr=False)
    outcomes: list[CellOutcome] = field(default_factory=list, repr=False)

    def run(self, repeat: int = 1) -> CellOutcome:
        """Try it, so many times; whatever is wrong with the trial itself is unknown."""
        result = reduce(CellResult.merged, [self.stand.trial(self.cell) for _ in range(repeat)])
        self.outcomes.append(CellOutcome(self, result))
        return self.outcomes[-1]


class CellOutcome:
    """What became of the task in a cell, and a test's one assertion of it. `text` is what a person reads."""

    def __init__(self, of: MapCell, result: CellResult) -> None:
        self._of, self._result = of, result
        self.asked = False

    @property
    def result(self) -> CellResult:
        """What was seen, for tests that judge it themselves."""
        self.asked = True
        return self._result

    @property
    def text(self) -> str:
        """The cell in full, with what to type next."""
        return plain(detail(self._result, self._of.name, _again()))

    def must_hold(self) -> None:
        """Fail the test unless the cell is good, or its baseline accepts it; an unknown one fails it too."""
        __tracebackhide__ = True
        if self._of.accepted is None:
            verdict, why = self.result.verdict == "valid", ""
        else:
            ruling = self._of.stand.ruling(self.result, self._of.accepted)
            verdict, why = ruling.kind in ("good", "accepted"), f"\n  Baseline  {ruling.kind}: {ruling.sentence}"
        if not verdict:
            pytest.fail(f"{self.text}{why}", pytrace=False)

    def must_be(self, *words: str) -> None:
        """Fail the test unless all that was seen is among these words ("lost", "once+silent"); unknown fails always.

        Raises UnknownName for a word that there is not.
        """
        __tracebackhide__ = True
        for word in words:
            parts(word)
        if self.result.verdict == "unknown" or not set(self.result.words) <= set(words):
            pytest.fail(f"{self.text}\n  Must be   {' or '.join(words)}", pytrace=False)


def _again() -> str:
    nodeid = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    return shlex.join(["pytest", nodeid]) if nodeid else ""


def _accepted(path: Path, stand: Stand) -> tuple[baseline.Accepted, ...]:
    """Those of this map; ValueError for one that names a cell that there is not."""
    own = tuple(each for each in baseline.load(path) if each.map == stand.title)
    there = [name for short, cell in stand.cells.items() for name in (short, cell.full)]
    if strays := baseline.judge(stand.map(), own, datetime.now(UTC).date(), there).of("stray"):
        raise ValueError("\n".join(each.sentence for each in strays))
    return own


class Stand:
    """A mission's points and cells, and the bench on which its cells are tried one after the other."""

    def __init__(self, sitting: Sitting, mission: Mission, rung: ladder.Rung) -> None:
        self._sitting, self._mission, self._rung = sitting, mission, rung
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
        config, load = self._mission.configuration.name, self._mission.workload.name
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
        place = self._sitting.place / f"{self._key()}.json"
        with place.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._know(place):
                return
            found = explore(self._mission, self._options(DISCOVERIES), lambda _: ())
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
        app, of = self._mission.application, self._mission
        facts = [
            environment(**versions(*VERSIONS)),
            [of.configuration.name, sorted(of.configuration.settings.items()), str(of.workload), of.task, of.args],
            [str(replace(app, effects=None)), sorted(app.env.items()), sorted(of.kwargs.items())],
        ]
        return hashlib.blake2b(json.dumps(facts, default=str).encode(), digest_size=8).hexdigest()

    def trial(self, cell: Cell) -> CellResult:
        """Try it once. The first time the bench is opened, and one fault-free trial is compared with the points."""
        if self._campaign is None:
            self._campaign = Campaign(self._mission, self._options(1), self._sitting.wire)
            self._sitting.wait(self._open(self._campaign))
        if self._doubt:
            return CellResult(cell, {f"{UNKNOWN}: {self._doubt}": 1})
        campaign = self._campaign
        found = self._sitting.wait(campaign.trial(campaign.forked, [cell]))
        word = found.seen
        if word.endswith("was not reached"):
            word += "; " + UNFIT.format("if it is so again")
        return CellResult(cell, {word: 1}, round(found.seconds, 3), found.witness, found.why)

    async def _open(self, campaign: Campaign) -> None:
        await campaign.__aenter__()
        self._sitting.opened.append(campaign)
        await campaign.discover(Discovery(self._points, {}))
        life, differing = set(campaign.discovery.order if campaign.discovery else ()), set[Point]()
        for attempt in range(2):  # what differs once may be chance
            found = await campaign.trial(campaign.forked)
            if found.word not in ("once", "recovered"):
                self._doubt = f"without any fault: {found.seen}"
                return
            other = life ^ set(found.points)
            differing = differing & other if attempt else other
            if not differing:
                return
        self._doubt = UNFIT.format(", ".join(sorted(names(differing).values())))


class Sitting:
    """What one process of pytest keeps for all its cells, until it ends; registered as a plugin at collection."""

    NAME = "brownout-map"

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._wire: Wire | None = None
        self._rung: ladder.Rung | None = None
        self._stands: dict[str, Stand] = {}
        self.opened: list[Campaign] = []

    @classmethod
    def of(cls, config: pytest.Config) -> Sitting:
        """This process's."""
        found = config.pluginmanager.get_plugin(cls.NAME)
        if found is None:
            found = cls(config)
            config.pluginmanager.register(found, cls.NAME)
        assert isinstance(found, Sitting)
        return found

    def rung(self) -> ladder.Rung:
        """Which Redis; raises NoRedis."""
        from brownout.pytest_plugin import provider

        self._rung = self._rung or ladder.choose("local", provider(self._config))
        return self._rung

    @property
    def place(self) -> Path:
        """Where points are kept; without pytest's cache, in the store of traces."""
        from brownout.pytest_plugin import chosen as option

        if cache := getattr(self._config, "cache", None):
            return Path(cache.mkdir("brownout"))
        folder = self._config.rootpath / option(self._config, "chaos_store") / "maps"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def wire(self) -> Wire:
        """Started when it is first asked for."""
        self._wire = self._wire or Wire().start()
        return self._wire

    def stand(self, mission: Mission, rung: ladder.Rung) -> Stand:
        """One for equal missions."""
        return self._stands.setdefault(repr(mission), Stand(self, mission, rung))

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """On the wire's loop; an interruption ends the work, too."""
        task = asyncio.run_coroutine_threadsafe(work, self.wire.loop)
        try:
            return task.result()
        except BaseException:
            task.cancel()
            raise

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """A cell of which nobody asks what came out is not green."""
        done = yield
        for cell in pyfuncitem.funcargs.values():
            if isinstance(cell, MapCell) and not (cell.outcomes and all(each.asked for each in cell.outcomes)):
                pytest.fail(f"nobody asked what became of {cell.name}: cell.run().must_hold()", pytrace=False)
        return done

    def pytest_unconfigure(self) -> None:
        """Close what is open."""

        async def close() -> None:
            for campaign in self.opened:
                await campaign.__aexit__()

        if self._wire:
            self.wait(close())
            self._wire.close()
