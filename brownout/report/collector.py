"""Collects the results of all trials: in pytest's own process, or in xdist's controller."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from brownout.report.github import Cells
    from brownout.report.maps.row import Row
    from brownout.report.progress import Write
    from brownout.run.events import Event, Stream
    from brownout.run.store import Store

#: Attributes of a pytest report that xdist can send. `TRIALS`: the test's trials, as `Row.to_json` writes them.
#: `FAILED`: the index of the trial whose report is the text of the test's failure.
TRIALS, FAILED = "brownout_trials", "brownout_failed"
CELLS = "brownout_cells"  # the cells of fault maps that a test has tried, each as a map of one cell
CAMPAIGN = "pytest"
PATIENCE = 2.0  # seconds of a run after which the controller of xdist shows how far it is
_ANNOTATOR = "pytest_github_actions_annotate_failures"  # this pytest plugin annotates each failed test itself


class Collector:
    """Receives pytest's reports of tests: shows a failure at once, and all trials at the end of the run.

    A pytest run without trials does not import the report handlers.
    """

    def __init__(self, config: pytest.Config, store: Store) -> None:
        self._config, self._store = config, store
        self._stream: Stream | None = None  # the handler that gets the events of all trials; None until the first trial
        self._cells: Cells | None = None
        self._shown: set[str] = set()  # ids of the tests whose failure is on the terminal
        # The terminal under a descriptor of its own: pytest redirects descriptor 1 to a file while a test runs.
        self._tty = os.dup(sys.stdout.fileno()) if sys.stdout.isatty() else None
        self._total, self._ended, self._begin = 0, 0, 0.0  # tests, and when (s) the first of them could begin

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None]:
        """Keep the trials of a test, and show the test's failure after pytest has written the test's letter."""
        self._show("")
        yield
        self._ended += report.when == "teardown"
        if rows := getattr(report, TRIALS, None):
            from brownout.run.events import TrialEnded

            for row in map(_row, rows):
                self._handle(TrialEnded(row.scenario, row, row.attempts))
            # With --pdb pytest itself shows the failure's text before it starts the debugger.
            if report.failed and not self._config.getoption("usepdb"):
                self._failed(report)
        elif cells := getattr(report, CELLS, None):
            self._tried(report, cells)
        elif report.when == "teardown" and report.nodeid in self._shown:
            from brownout.report import live

            live.teardown(self._terminal, report)
        if self._stream and time.monotonic() - self._begin > PATIENCE:
            self._show(self.left())

    @property
    def transient(self) -> Write | None:
        """Shows a text behind pytest's cursor, see `progress.behind_cursor`; None without a terminal."""
        from brownout.report.progress import behind_cursor

        return behind_cursor(self._tty, self._terminal._tw) if self._tty is not None and self._terminal else None

    def left(self) -> str:
        """How many tests have ended, and about how long the others take."""
        from brownout.report.tally import left

        rest = left(self._ended, self._total, time.monotonic() - self._begin)
        return f"{self._ended} of {self._total} tests · {rest}" if rest else ""

    def _show(self, text: str) -> None:
        """With xdist, whose workers show nothing, show the text; else a trial shows its own."""
        terminal, spread = self._terminal, self._config.pluginmanager.has_plugin("dsession")
        if self._stream and spread and terminal and terminal.verbosity == 0 and (show := self.transient):
            show(text)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """The tests begin."""
        self._total, self._begin = len(session.items), time.monotonic()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """The tests begin in a worker of xdist; each worker has collected all of them."""
        self._total, self._begin = len(ids), self._begin or time.monotonic()

    def _tried(self, report: pytest.TestReport, cells: Sequence[str]) -> None:
        from brownout.explore.maps.faultmap import FaultMap
        from brownout.report.github import Cells

        self._cells = self._cells or Cells()
        for text in cells:
            self._cells(FaultMap.from_json(text), shlex.join(["pytest", report.nodeid]), failed=report.failed)

    def _handle(self, event: Event) -> None:
        if self._stream is None:
            from brownout.run.events import CampaignStarted

            self._stream = self._handlers()
            self._stream(CampaignStarted(CAMPAIGN))
        self._stream(event)

    def _handlers(self) -> Stream:
        from brownout.report.github import GitHub
        from brownout.report.page.handlers import RunPage
        from brownout.report.summary import Summary
        from brownout.run.events import Stream

        terminal = self._terminal
        plugins = self._config.pluginmanager
        annotated = os.environ.get("GITHUB_ACTIONS") == "true" and not plugins.has_plugin(_ANNOTATOR)
        annotate = terminal.write_line if terminal and annotated else lambda _: None
        summaries = (Summary(terminal),) if terminal else ()
        page = RunPage(self._config.rootpath, self._store.root)
        return Stream(*summaries, GitHub(self._config.rootpath, annotate), page)

    def _failed(self, report: pytest.TestReport) -> None:
        from brownout.report import live

        row, terminal = _failed_trial(report), self._terminal
        if terminal and not (row and row.busy):
            live.failure(terminal, report, own=row is not None)
            self._shown.add(report.nodeid)
        # pytest leaves a report with this attribute out of its section FAILURES, not out of its short summary.
        report._pdbshown = True  # type: ignore[attr-defined]

    @property
    def _terminal(self) -> pytest.TerminalReporter | None:
        return self._config.pluginmanager.get_plugin("terminalreporter")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Sort pytest's short summary: invalid trials first, trials that were not judged last."""
        self._show("")
        if self._stream and (terminal := self._terminal):
            terminal.stats.get("failed", []).sort(key=_rank)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name the folders of trials that have no verdict, then let the handlers write their summaries."""
        for folder in self._store.partial():
            terminalreporter.write_line(
                f"brownout: a trial ended without a verdict; its history and logs are in {self._folder(folder)}"
            )
        if self._stream:
            from brownout.run.events import CampaignEnded

            self._stream(CampaignEnded(CAMPAIGN))
        if self._cells:
            self._cells.write()

    def _folder(self, folder: os.PathLike[str]) -> str:
        return os.path.relpath(folder, self._config.invocation_params.dir)


def attach(report: pytest.TestReport, call: pytest.CallInfo[None], rows: Sequence[Row], texts: Sequence[str]) -> None:
    """Store a test's trials, as JSON, in pytest's report of the test.

    When a test fails with the report of a trial as its text, pytest's short summary shows a sentence about that trial.
    When a test fails for another reason, such as an assertion of its own, the last trial's report is added to the
    failure.
    """
    seen = [replace(row, expected=report.passed and row.validity != "valid") for row in rows]
    setattr(report, TRIALS, [row.to_json() for row in seen])
    for n, (row, text) in enumerate(zip(rows, texts, strict=False)):
        if call.excinfo and str(call.excinfo.value) == text:
            # The report of a failed call always has a `reprcrash`.
            report.longrepr.reprcrash.message = row.sentence  # type: ignore[union-attr]
            setattr(report, FAILED, n)
    if report.failed and texts and not hasattr(report, FAILED):
        report.sections.append(("the last trial of this test that ended", texts[-1]))


def _row(text: str) -> Row:
    from brownout.report.maps.row import Row

    return Row.from_json(text)


def _failed_trial(report: pytest.TestReport) -> Row | None:
    """Return the trial whose report is the text of the test's failure; None when the test failed for another reason."""
    n = getattr(report, FAILED, None)
    return None if n is None else _row(getattr(report, TRIALS)[n])


def _rank(report: pytest.TestReport) -> int:
    row = _failed_trial(report)
    return row.rank if row else 0
