"""Shows a failure on the terminal as soon as its test has failed, while other tests still run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from brownout.report.terminal import fitted, style


def failure(terminal: pytest.TerminalReporter, report: pytest.TestReport, *, own: bool) -> None:
    """Write a failure and the test's captured output below pytest's line of dots; pytest goes on below them.

    If `own` is true, `terminal.py` made the text of the failure. Otherwise pytest made the text, and the test's name is
    written above the text. With `--tb=no` nothing is written, as pytest then omits its section FAILURES.
    """
    if terminal.config.getoption("tbstyle") == "no":
        return
    _leave_line(terminal)
    if own:
        lines = str(report.longrepr).splitlines()
        for line in fitted(lines, terminal._tw.fullwidth) if terminal.isatty else lines:
            terminal.line(line, **style(line))
    else:
        _name(terminal, report)
        report.toterminal(terminal._tw)
    _write(terminal, _captured(terminal, report))


def teardown(terminal: pytest.TerminalReporter | None, report: pytest.TestReport) -> None:
    """Write the output that pytest captured in the teardown of a test whose failure was shown before."""
    if terminal is None or terminal.config.getoption("tbstyle") == "no":
        return
    if captured := [(name, text) for name, text in _captured(terminal, report) if "teardown" in name]:
        _leave_line(terminal)
        _name(terminal, report)
        _write(terminal, captured)


def _leave_line(terminal: pytest.TerminalReporter) -> None:
    if terminal._tw.width_of_current_line:
        terminal.line("")
    terminal.currentfspath = None  # makes pytest write the test file's name again before the next dot


def _name(terminal: pytest.TerminalReporter, report: pytest.TestReport) -> None:
    terminal.write_sep("_", report.head_line or report.nodeid, red=True, bold=True)


def _captured(terminal: pytest.TerminalReporter, report: pytest.TestReport) -> Iterator[tuple[str, str]]:
    wanted = terminal.config.getoption("showcapture")
    return ((name, text) for name, text in report.sections if wanted == "all" or wanted in name)


def _write(terminal: pytest.TerminalReporter, captured: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> None:
    for name, text in captured:
        terminal.section(name, sep="-")
        terminal.line(text.removesuffix("\n"))
    # When pytest shows the names of files or tests, pytest itself writes an empty line before the next name.
    if not terminal.showfspath and not terminal.showlongtestinfo:
        terminal.line("")
    terminal.flush()
