"""Where the results of all trials come together: in pytest's own process, or in xdist's controller."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from _pytest._code.code import TerminalRepr
from _pytest._io import TerminalWriter

if TYPE_CHECKING:
    from brownout.run.store import Store

#: Of a test's report: its trials, as `Row.to_json` writes them; plain text passes from an xdist worker.
ATTRIBUTE = "brownout_rows"
_OTHERS = "pytest_github_actions_annotate_failures"  # makes an annotation of each failed test itself


class Desk:
    """Takes reports of tests in, and hands them out at the end. Nothing is imported for a run without trials."""

    def __init__(self, config: pytest.Config, store: Store) -> None:
        self._config, self._store = config, store
        self._rows: list[str] = []
        # A terminal of our own: pytest turns descriptor 1 into a file while a test runs.
        self.tty = os.dup(sys.stdout.fileno()) if sys.stdout.isatty() else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the trials of a test, and let its failure be shown in colour."""
        if rows := getattr(report, ATTRIBUTE, None):
            self._rows += rows
            if isinstance(report.longrepr, TerminalRepr) and hasattr(report.longrepr, "reprcrash"):
                report.longrepr = Styled(report.longrepr)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """One line of the whole; what has no verdict; what GitHub wants."""
        for folder in self._store.partial():
            terminalreporter.write_line(f"brownout: without a verdict; what was seen is in {self._shown(folder)}")
        if not self._rows:
            return
        from brownout.report import github, summary
        from brownout.report.row import Row

        rows = [Row.from_json(each) for each in self._rows]
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

    def _shown(self, folder: os.PathLike[str]) -> str:
        return os.path.relpath(folder, self._config.invocation_params.dir)


class Styled(TerminalRepr):
    """A failure whose text is styled where it is shown, so that JUnit's copy, and a pipe's, are plain."""

    def __init__(self, plain: TerminalRepr) -> None:
        self._plain = plain
        self.reprcrash = plain.reprcrash  # type: ignore[attr-defined] # what the short summary reads

    def toterminal(self, tw: TerminalWriter) -> None:
        """Write it, with the styles of terminal.py when it is theirs."""
        from brownout.report.terminal import SIGNS, style

        text = str(self._plain)
        if not text.startswith(tuple(SIGNS.values())):
            return self._plain.toterminal(tw)
        for line in text.splitlines():
            tw.line(line, **style(line))
        return None
