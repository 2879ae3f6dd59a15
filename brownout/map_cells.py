"""Cells of a fault map as pytest's items, each one trial: `pytest_generate_tests = fault_map(...)`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from brownout.check.words import parts
from brownout.explore.cell_runner import CellRunner, CellRunners
from brownout.explore.experiment import Experiment
from brownout.explore.maps import baseline
from brownout.explore.maps.action import chosen
from brownout.explore.maps.cell import Cell
from brownout.explore.maps.cell_result import CellResult
from brownout.explore.maps.selection import select
from brownout.explore.options import NoMap
from brownout.explore.session import experiment
from brownout.pytest_options import chosen as option
from brownout.pytest_options import provider
from brownout.report.clean import clean
from brownout.report.grid import detail, plain
from brownout.run.turns import Turns
from brownout.subject.application import Application
from brownout.subject.servers import ladder

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
        session = CellSession.of(metafunc.config)
        try:
            session.rung()
        except ladder.NoRedis as error:
            skipped = pytest.param(None, id="no-redis", marks=pytest.mark.skip(reason=str(error)))
            metafunc.parametrize(argument, [skipped])
            return
        try:
            runner = session.runner(experiment(metafunc.config.rootpath, **given))
            runner.look()
            asked = {action.name for action in chosen(actions)}
            wanted = set(select([cell for cell in runner.cells.values() if cell.action in asked], points))
            accepted = _accepted(metafunc.config.rootpath / baseline, runner) if baseline else None
        except (ValueError, OSError, NoMap) as error:
            raise pytest.Collector.CollectError(str(error)) from error
        items = [MapCell(name, cell, runner, accepted) for name, cell in runner.cells.items() if cell in wanted]
        metafunc.parametrize(argument, items, ids=[each.name for each in items])

    return pytest_generate_tests


@dataclass
class MapCell:
    """The argument of a test: a cell that was not tried yet."""

    name: str
    cell: Cell
    runner: CellRunner = field(repr=False)
    accepted: tuple[baseline.Accepted, ...] | None = field(default=None, repr=False)
    outcomes: list[CellOutcome] = field(default_factory=list, repr=False)

    def run(self, repeat: int = 1) -> CellOutcome:
        """Try it, so many times; whatever is wrong with the trial itself is unknown."""
        result = reduce(CellResult.merged, [self.runner.trial(self.cell) for _ in range(repeat)])
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
        evidence = [f"      {clean(line)}" for line in self._result.evidence]
        return "\n".join([plain(detail(self._result, self._of.name, _again())), *evidence])

    def must_hold(self) -> None:
        """Fail the test unless the cell is good, or its baseline accepts it; an unknown one fails it too."""
        __tracebackhide__ = True
        if self._of.accepted is None:
            verdict, why = self.result.verdict == "valid", ""
        else:
            ruling = self._of.runner.ruling(self.result, self._of.accepted)
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


def _accepted(path: Path, runner: CellRunner) -> tuple[baseline.Accepted, ...]:
    """Those of this map; ValueError for one that names a cell that there is not."""
    own = tuple(each for each in baseline.load(path) if each.map == runner.title)
    there = [name for short, cell in runner.cells.items() for name in (short, cell.full)]
    if strays := baseline.judge(runner.map(), own, datetime.now(UTC).date(), there).of("stray"):
        raise ValueError("\n".join(each.sentence for each in strays))
    return own


class CellSession:
    """What one process of pytest keeps for all its cells, until it ends; registered as a plugin at collection."""

    NAME = "brownout-map"

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._rung: ladder.Rung | None = None
        self._runners: CellRunners | None = None

    @classmethod
    def of(cls, config: pytest.Config) -> CellSession:
        """This process's."""
        found = config.pluginmanager.get_plugin(cls.NAME)
        if found is None:
            found = cls(config)
            config.pluginmanager.register(found, cls.NAME)
        assert isinstance(found, cls)
        return found

    def rung(self) -> ladder.Rung:
        """Which Redis; raises NoRedis."""
        self._rung = self._rung or ladder.choose("local", provider(self._config))
        return self._rung

    def runner(self, experiment: Experiment) -> CellRunner:
        """One for equal experiments. Its trials take turns with the scenarios that leave traces in the same store."""
        store = self._config.rootpath / option(self._config, "chaos_store")
        self._runners = self._runners or CellRunners(self._place(store), Turns(store / ".turns"))
        return self._runners.runner(experiment, self.rung())

    def _place(self, store: Path) -> Path:
        """Where points are kept; without pytest's cache, in the store of traces."""
        if cache := getattr(self._config, "cache", None):
            return Path(cache.mkdir("brownout"))
        folder = store / "maps"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def pytest_unconfigure(self) -> None:
        """Close what is open."""
        if self._runners:
            self._runners.close()

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """A cell of which nobody asks what came out is not green."""
        done = yield
        for cell in pyfuncitem.funcargs.values():
            if isinstance(cell, MapCell) and not (cell.outcomes and all(each.asked for each in cell.outcomes)):
                pytest.fail(f"nobody asked what became of {cell.name}: cell.run().must_hold()", pytrace=False)
        return done
