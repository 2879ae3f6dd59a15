"""Where the results of all trials come together: in pytest's own process, or in xdist's controller."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from brownout.report.row import Row
    from brownout.run.events import Event, Stream
    from brownout.run.store import Store

#: Attributes of a test's report, plain values that pass from an xdist worker: its trials, as `Row.to_json` writes
#: them, and the index of the trial whose text is the text of the test's failure.
TRIALS, FAILED = "brownout_trials", "brownout_failed"
CAMPAIGN = "pytest"
_OTHERS = "pytest_github_actions_annotate_failures"  # makes an annotation of each failed test itself


class Desk:
    """Takes reports of tests in: shows failures at once, and all trials at the end.

    Nothing is imported for a run without trials.
    """

    def __init__(self, config: pytest.Config, store: Store) -> None:
        self._config, self._store = config, store
        self._stream: Stream | None = None  # hears of all trials; none as long as there was no trial
        self._shown: set[str] = set()  # ids of the tests whose failure is on the terminal
        # A terminal of our own: pytest turns descriptor 1 into a file while a test runs.
        self.tty = os.dup(sys.stdout.fileno()) if sys.stdout.isatty() else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None]:
        """Keep the trials of a test, and show its failure when pytest has written the test's letter."""
        yield
        if rows := getattr(report, TRIALS, None):
            from brownout.run.events import TrialEnded

            for row in map(_row, rows):
                self._told(TrialEnded(row.scenario, row, row.attempts))
            if report.failed and not self._config.getoption("usepdb"):  # pytest shows the text before it starts pdb
                self._failed(report)
        elif report.when == "teardown" and report.nodeid in self._shown:
            from brownout.report import live

            live.teardown(self._terminal, report)

    def _told(self, event: Event) -> None:
        if self._stream is None:
            from brownout.run.events import CampaignStarted

            self._stream = self._handlers()
            self._stream(CampaignStarted(CAMPAIGN))
        self._stream(event)

    def _handlers(self) -> Stream:
        from brownout.report.github import GitHub
        from brownout.report.summary import Summary
        from brownout.run.events import Stream

        terminal = self._terminal
        annotated = os.environ.get("GITHUB_ACTIONS") == "true" and not self._config.pluginmanager.has_plugin(_OTHERS)
        annotate = terminal.write_line if terminal and annotated else lambda _: None
        summaries = (Summary(terminal),) if terminal else ()
        return Stream(*summaries, GitHub(self._config.rootpath, annotate))

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
        if self._stream and (terminal := self._terminal):
            terminal.stats.get("failed", []).sort(key=_rank)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what has no verdict; the handlers say what there is to say of the trials."""
        for folder in self._store.partial():
            terminalreporter.write_line(f"brownout: without a verdict; what was seen is in {self._folder(folder)}")
        if self._stream:
            from brownout.run.events import CampaignEnded

            self._stream(CampaignEnded(CAMPAIGN))

    def _folder(self, folder: os.PathLike[str]) -> str:
        return os.path.relpath(folder, self._config.invocation_params.dir)


def attach(report: pytest.TestReport, call: pytest.CallInfo[None], rows: Sequence[Row], texts: Sequence[str]) -> None:
    """Hang a test's trials on its report. A failure with the text of a trial has that trial's sentence as its line."""
    setattr(report, TRIALS, [each.to_json() for each in rows])
    for n, (each, text) in enumerate(zip(rows, texts, strict=False)):
        if call.excinfo and str(call.excinfo.value) == text:
            report.longrepr.reprcrash.message = each.sentence  # type: ignore[union-attr] # a failed call has one
            setattr(report, FAILED, n)


def _row(text: str) -> Row:
    from brownout.report.row import Row

    return Row.from_json(text)


def _failed_trial(report: pytest.TestReport) -> Row | None:
    """The trial whose text is the failure's; None when the test failed for another reason."""
    n = getattr(report, FAILED, None)
    return None if n is None else _row(getattr(report, TRIALS)[n])


def _rank(report: pytest.TestReport) -> int:
    row = _failed_trial(report)
    return row.rank if row else 0
