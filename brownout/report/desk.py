"""Where the results of all trials come together: in pytest's own process, or in xdist's controller."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from brownout.report.row import Row
    from brownout.run.store import Store

#: Attributes of a test's report, plain values that pass from an xdist worker: its trials, as `Row.to_json` writes
#: them, and the index of the trial whose text is the text of the test's failure.
TRIALS, FAILED = "brownout_trials", "brownout_failed"
_OTHERS = "pytest_github_actions_annotate_failures"  # makes an annotation of each failed test itself


class Desk:
    """Takes reports of tests in: shows failures at once, and all trials at the end.

    Nothing is imported for a run without trials.
    """

    def __init__(self, config: pytest.Config, store: Store) -> None:
        self._config, self._store = config, store
        self._rows: list[str] = []
        self._shown: set[str] = set()  # ids of the tests whose failure is on the terminal
        # A terminal of our own: pytest turns descriptor 1 into a file while a test runs.
        self.tty = os.dup(sys.stdout.fileno()) if sys.stdout.isatty() else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None]:
        """Keep the trials of a test, and show its failure when pytest has written the test's letter."""
        yield
        if rows := getattr(report, TRIALS, None):
            self._rows += rows
            if report.failed and not self._config.getoption("usepdb"):  # pytest shows the text before it starts pdb
                self._failed(report)
        elif report.when == "teardown" and report.nodeid in self._shown:
            from brownout.report import live

            live.teardown(self._terminal, report)

    def _failed(self, report: pytest.TestReport) -> None:
        from brownout.report import live

        row, terminal = _failed_trial(report), self._terminal
        if terminal and not (row and row.busy):
            live.failure(terminal, report, own=row is not None)
            self._shown.add(report.nodeid)
        # pytest leaves a report with this mark out of its section FAILURES; its short summary keeps the report.
        report._pdbshown = True  # type: ignore[attr-defined]

    @property
    def _terminal(self) -> pytest.TerminalReporter | None:
        return self._config.pluginmanager.get_plugin("terminalreporter")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Put real failures first in pytest's short summary, and last what was not judged."""
        if self._rows and (terminal := self._terminal):
            terminal.stats.get("failed", []).sort(key=_rank)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What has no verdict; what was not judged; one line of the whole; what GitHub wants."""
        for folder in self._store.partial():
            terminalreporter.write_line(f"brownout: without a verdict; what was seen is in {self._folder(folder)}")
        if not self._rows:
            return
        from brownout.report import github, summary
        from brownout.report.row import NOT_JUDGED, Row

        rows = [Row.from_json(each) for each in self._rows]
        if (busy := [row for row in rows if row.busy]) and terminalreporter.verbosity >= 0:
            terminalreporter.write_sep("=", f"{NOT_JUDGED} because the machine was busy", yellow=True)
        for row in busy:
            terminalreporter.write_line(row.not_judged, yellow=True)
        title = summary.title(rows)
        if terminalreporter.verbosity < 0:
            terminalreporter.write_line(title)
        else:
            bad = any(row.validity != "valid" for row in rows)
            terminalreporter.write_sep("=", title, **{"red" if bad else "green": True})
        if terminalreporter.verbosity > 0:
            for line in summary.slowest(rows):
                terminalreporter.write_line(line)
        github.append_summary(rows)
        if os.environ.get("GITHUB_ACTIONS") == "true" and not self._config.pluginmanager.has_plugin(_OTHERS):
            for line in github.annotations(rows, self._config.rootpath):
                terminalreporter.write_line(line)

    def _folder(self, folder: os.PathLike[str]) -> str:
        return os.path.relpath(folder, self._config.invocation_params.dir)


def _failed_trial(report: pytest.TestReport) -> Row | None:
    """The trial whose text is the failure's; None when the test failed for another reason."""
    from brownout.report.row import Row

    n = getattr(report, FAILED, None)
    return None if n is None else Row.from_json(getattr(report, TRIALS)[n])


def _rank(report: pytest.TestReport) -> int:
    row = _failed_trial(report)
    return row.rank if row else 0
