"""The last word of a run: how many trials there were, and what came out of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from brownout.report.row import NOT_JUDGED, WORST, Row
from brownout.run.events import CampaignEnded, Event, TrialEnded

if TYPE_CHECKING:
    import pytest

SLOWEST = 5


class Summary:
    """Writes the last lines of pytest: the trials that were not judged, and one line of the whole."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal
        self._rows: list[Row] = []

    def __call__(self, event: Event) -> None:
        """See the class."""
        match event:
            case TrialEnded(result=Row() as row):
                self._rows.append(row)
            case CampaignEnded() if self._rows:
                self._write(self._terminal, self._rows)

    def _write(self, terminal: pytest.TerminalReporter, rows: Sequence[Row]) -> None:
        if (busy := [row for row in rows if row.busy]) and terminal.verbosity >= 0:
            terminal.write_sep("=", f"{NOT_JUDGED} because the machine was busy", yellow=True)
        for row in busy:
            terminal.write_line(row.not_judged, yellow=True)
        if terminal.verbosity < 0:
            terminal.write_line(title(rows))
        else:
            bad = any(row.validity != "valid" for row in rows)
            terminal.write_sep("=", title(rows), **{"red" if bad else "green": True})
        if terminal.verbosity > 0:
            for line in slowest(rows):
                terminal.write_line(line)


def counted(rows: Sequence[Row]) -> str:
    """`24 trials, 1 invalid, 0 unknown`, and how often a trial was repeated because the machine was busy."""
    trials = f"{len(rows)} trial{'' if len(rows) == 1 else 's'}"
    parts = [trials, *(f"{sum(row.validity == each for row in rows)} {each}" for each in WORST[:2])]
    if again := sum(row.attempts - 1 for row in rows):
        parts.append(f"{again} repeated because the machine was busy")
    return ", ".join(parts)


def title(rows: Sequence[Row]) -> str:
    """The line of pytest's summary."""
    slow = max(rows, key=lambda row: row.seconds)
    return f"chaos: {counted(rows)}; slowest {slow.name} {slow.seconds:.1f} s"


def slowest(rows: Sequence[Row]) -> list[str]:
    """The slowest trials, a line each."""
    ordered = sorted(rows, key=lambda row: -row.seconds)[:SLOWEST]
    return [f"{row.seconds:7.1f} s  {row.validity:<7}  {row.scenario}" for row in ordered]
