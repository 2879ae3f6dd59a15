"""Makes each cell of a fault map a test item of pytest: `pytest_generate_tests = fault_map(...)`."""

from __future__ import annotations

import os
import shlex
import uuid
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
from brownout.pytest_options import RUN, provider
from brownout.pytest_options import chosen as option
from brownout.report.clean import clean
from brownout.report.collector import CELLS
from brownout.report.github import SUMMARY
from brownout.report.maps.grid import detail, plain
from brownout.report.progress import of_pytest
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
    """Return a module's `pytest_generate_tests`, which runs each test with the argument `cell` once for each cell of a
    map.

    The defaults are those of `brownout map`: the stock application, Celery's default settings, all fault points, the
    standard actions. When pytest collects the tests for the first time, trials without a fault find the points (Redis
    requests and replies of a task); pytest's cache stores the points. `baseline` is the path, relative to pytest's root
    directory, of a file of accepted outcomes. Raises UnknownName for a misspelt action; all other names are checked
    when pytest collects the tests.
    """
    chosen(actions)
    arguments: dict[str, Any] = {
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
            runner = session.runner(experiment(metafunc.config.rootpath, **arguments))
            runner.look(of_pytest(metafunc.config))
            asked = {action.name for action in chosen(actions)}
            wanted = set(select([cell for cell in runner.cells.values() if cell.action in asked], points))
            accepted = _accepted(metafunc.config.rootpath / baseline, runner) if baseline else None
        except NoMap as reason:
            # A busy machine may be the reason. One test fails then, and all other tests of the run go on.
            metafunc.parametrize(argument, [NoCells(str(reason))], ids=["no-map"])
            return
        except (ValueError, OSError) as error:
            raise pytest.Collector.CollectError(str(error)) from error
        items = [MapCell(name, cell, runner, accepted) for name, cell in runner.cells.items() if cell in wanted]
        metafunc.parametrize(argument, items, ids=[item.name for item in items])

    return pytest_generate_tests


@dataclass(frozen=True)
class NoCells:
    """Stands for all cells of a fault map that could not be made; a test with this argument fails with the reason."""

    why: str


@dataclass
class MapCell:
    """A cell of a fault map as the argument of a test; the test calls `run` to try the cell."""

    name: str
    cell: Cell
    runner: CellRunner = field(repr=False)
    accepted: tuple[baseline.Accepted, ...] | None = field(default=None, repr=False)
    outcomes: list[CellOutcome] = field(default_factory=list, repr=False)

    def run(self, repeat: int = 1) -> CellOutcome:
        """Run `repeat` trials of the cell; when a trial itself fails with an error, the outcome is "unknown"."""
        result = reduce(CellResult.merged, [self.runner.trial(self.cell) for _ in range(repeat)])
        self.outcomes.append(CellOutcome(self, result))
        return self.outcomes[-1]


class CellOutcome:
    """The outcome of a cell's trials, with methods that fail the test for a bad outcome. `text` is the outcome as text
    that a person can read."""

    def __init__(self, of: MapCell, result: CellResult) -> None:
        self._of, self._result = of, result
        self.asked = False

    @property
    def result(self) -> CellResult:
        """The result of the trials, for a test that does not use `must_hold` or `must_be`."""
        self.asked = True
        return self._result

    @property
    def text(self) -> str:
        """Return a text with the cell's outcomes and their witness, and with the command that runs the test again."""
        evidence = [f"      {clean(line)}" for line in self._result.evidence]
        return "\n".join([plain(detail(self._result, self._of.name, _again())), *evidence])

    def must_hold(self) -> None:
        """Fail the test unless the cell is good or the baseline accepts the cell's outcome; an unknown outcome fails
        the test, too."""
        __tracebackhide__ = True
        if self._of.accepted is None:
            verdict, why = self.result.verdict == "valid", ""
        else:
            ruling = self._of.runner.ruling(self.result, self._of.accepted)
            verdict, why = ruling.kind in ("good", "accepted"), f"\n  Baseline  {ruling.kind}: {ruling.sentence}"
        if not verdict:
            pytest.fail(f"{self.text}{why}", pytrace=False)

    def must_be(self, *words: str) -> None:
        """Fail the test unless every outcome is one of these words ("lost", "once+silent"); an unknown outcome always
        fails the test.

        Raises UnknownName for a word that is not the name of an outcome.
        """
        __tracebackhide__ = True
        for word in words:
            parts(word)
        if self.result.verdict == "unknown" or not set(self.result.words) <= set(words):
            pytest.fail(f"{self.text}\n  Must be   {' or '.join(words)}", pytrace=False)


def _without_map(item: pytest.Item) -> bool:
    """Whether the test stands for all cells of a map that could not be made."""
    callspec = getattr(item, "callspec", None)
    return any(isinstance(value, NoCells) for value in (callspec.params.values() if callspec else ()))


def _all_left_out(config: pytest.Config, item: pytest.Item) -> bool:
    """Whether `--deselect` or `-m` may leave the test out: they do so with all cells of its map. The names of the cells
    decide for `-k`, for what failed before, and for shards."""
    by_name = (
        option(config, "chaos_shard"),
        *(config.getoption(name, None) for name in ("keyword", "lf", "failedfirst")),
    )
    left_out = tuple(config.getoption("deselect", None) or ())
    return item.nodeid.startswith(left_out) or bool(config.getoption("markexpr", "") and not any(by_name))


def _again() -> str:
    nodeid = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    return shlex.join(["pytest", nodeid]) if nodeid else ""


def _accepted(path: Path, runner: CellRunner) -> tuple[baseline.Accepted, ...]:
    """Return the entries of the baseline (the file of accepted outcomes) that belong to the runner's map. Raises
    ValueError when an entry of the baseline names a cell that the map does not have."""
    own = tuple(entry for entry in baseline.load(path) if entry.map == runner.title)
    there = [name for short, cell in runner.cells.items() for name in (short, cell.full)]
    if strays := baseline.judge(runner.map(), own, datetime.now(UTC).date(), there).of("stray"):
        raise ValueError("\n".join(ruling.sentence for ruling in strays))
    return own


class CellSession:
    """The Redis server and the cell runners of one pytest process, kept until the process ends. When pytest collects
    tests, this class is registered as a plugin."""

    NAME = "brownout-map"

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        # The name of the run, which all of xdist's processes share.
        self._run: str = getattr(config, "workerinput", {}).get(RUN) or uuid.uuid4().hex
        self._rung: ladder.Rung | None = None
        self._runners: CellRunners | None = None

    @classmethod
    def of(cls, config: pytest.Config) -> CellSession:
        """Return the CellSession of this pytest process."""
        found = config.pluginmanager.get_plugin(cls.NAME)
        if found is None:
            found = cls(config)
            config.pluginmanager.register(found, cls.NAME)
        assert isinstance(found, cls)
        return found

    def rung(self) -> ladder.Rung:
        """Return the kind of Redis server to start. Raises NoRedis when no Redis is available."""
        self._rung = self._rung or ladder.choose("local", provider(self._config))
        return self._rung

    def runner(self, experiment: Experiment) -> CellRunner:
        """Return the object that runs the cells of an experiment; equal experiments share the object. Trials of cells
        and of scenarios that use the same store wait for each other, so that not too many run at the same time."""
        store = self._config.rootpath / option(self._config, "chaos_store")
        self._runners = self._runners or CellRunners(self._place(store), Turns(store / ".turns"), self._run)
        return self._runners.runner(experiment, self.rung())

    def _place(self, store: Path) -> Path:
        """Return the folder in which the fault points that were found are stored: in pytest's cache, or, when pytest
        has no cache, among the stored trials."""
        if cache := getattr(self._config, "cache", None):
            return Path(cache.mkdir("brownout"))
        folder = store / "maps"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def pytest_unconfigure(self) -> None:
        """Close the campaigns of all runners."""
        if self._runners:
            self._runners.close()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
        """Keep the tests of a map that could not be made, whichever cells were asked for: nobody can say whether the
        map has them. Only what leaves out all cells of a map, whatever their names are, leaves out its test."""
        kept = [item for item in items if _without_map(item) and not _all_left_out(config, item)]
        items[:] = [item for item in items if item not in kept]
        yield
        items += kept

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # after pytest has seen to `xfail`
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the outcomes of the test's cells to its report, for the summary of a run on GitHub. A test without a map
        is no expected failure."""
        report = yield
        if call.when == "call" and hasattr(report, "wasxfail") and _without_map(item):
            del report.wasxfail  # whoever expects a failure expects one of a cell that was tried
            report.outcome = "failed"
        if call.when == "call" and os.environ.get(SUMMARY):
            cells = [cell for cell in getattr(item, "funcargs", {}).values() if isinstance(cell, MapCell)]
            tried = [cell.runner.map(outcome.result).to_json() for cell in cells for outcome in cell.outcomes]
            setattr(report, CELLS, tried)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Fail a test that never looked at the outcome of its cell, because such a test could not fail; fail a test
        without a map before it runs."""
        for cell in pyfuncitem.funcargs.values():
            if isinstance(cell, NoCells):
                pytest.fail(f"there is no map, and no cell was tried: {cell.why}", pytrace=False)
        done = yield
        for cell in pyfuncitem.funcargs.values():
            if isinstance(cell, MapCell) and not (cell.outcomes and all(outcome.asked for outcome in cell.outcomes)):
                pytest.fail(f"the outcome of {cell.name} is not checked: write cell.run().must_hold()", pytrace=False)
        return done
