"""Writes the summary at the end of a pytest run: the number of trials and their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from brownout.report.clean import clean
from brownout.report.facts.order import natural
from brownout.report.maps.row import NOT_JUDGED, WORST, Row
from brownout.run.events import CampaignEnded, Event, TrialEnded

if TYPE_CHECKING:
    import pytest

SIBLINGS = 12  # parameters of a test that a line names
SLOWEST = 5  # the list of the slowest trials has at most this many trials


class Summary:
    """Writes a line for each trial that was not judged, and one line that counts all trials."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal
        self._rows: list[Row] = []

    def __call__(self, event: Event) -> None:
        """Keep the trial of an event; write the lines at the end of the campaign."""
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
        if terminal.verbosity >= 0:
            for line in siblings(rows):
                terminal.write_line(line)
        if terminal.verbosity < 0:
            terminal.write_line(title(rows))
        else:
            bad = any(row.validity != "valid" and not row.expected for row in rows)
            terminal.write_sep("=", title(rows), **{"red" if bad else "green": True})
        if terminal.verbosity > 0:
            for line in slowest(rows):
                terminal.write_line(line)


def siblings(rows: Sequence[Row]) -> list[str]:
    """One line for each parametrised test of which some trials failed: its parameters that fail, pass, are not judged.

    "test_outage: 1 of 3 fails [stop]; passes [flush, kill]".
    """
    groups: dict[str, list[tuple[str, Row]]] = {}
    for row in rows:
        test, bracket, parameters = row.scenario.partition("[")
        if bracket:
            groups.setdefault(test, []).append((parameters.removesuffix("]"), row))
    lines = []
    for test, group in groups.items():
        failed = _parameters(group, lambda row: row.validity == WORST[0])
        if not failed or len({parameters for parameters, _ in group}) < 2:
            continue
        parts = [f"{len(failed)} of {len({name for name, _ in group})} fail{'s' * (len(failed) == 1)} {listed(failed)}"]
        passed = [name for name in _parameters(group, lambda row: row.validity == WORST[2]) if name not in failed]
        unjudged = [name for name in _parameters(group, lambda row: row.validity == WORST[1]) if name not in failed]
        parts += [f"passes {listed(passed)}"] if passed else []
        parts += [f"{NOT_JUDGED} {listed(unjudged)}"] if unjudged else []
        lines.append(f"{clean(test.rpartition('::')[2])}: {'; '.join(parts)}")
    return lines


def _parameters(group: Sequence[tuple[str, Row]], wanted: Callable[[Row], bool]) -> list[str]:
    return sorted({name for name, row in group if wanted(row)}, key=natural)


def listed(names: Sequence[str]) -> str:
    """Parameters of a test in brackets: at most SIBLINGS of them, and how many more there are."""
    more = f" and {len(names) - SIBLINGS} more" if len(names) > SIBLINGS else ""
    return f"[{', '.join(clean(name, 60) for name in names[:SIBLINGS])}{more}]"


def counted(rows: Sequence[Row]) -> str:
    """Counts as text: "24 trials, 1 invalid, 0 unknown", and the trials repeated because the machine was busy."""
    trials = f"{len(rows)} trial{'' if len(rows) == 1 else 's'}"
    parts = [trials, *(f"{sum(row.validity == validity for row in rows)} {validity}" for validity in WORST[:2])]
    if expected := sum(row.expected for row in rows):
        parts.append(f"{expected} expected by their tests")
    if again := sum(row.attempts - 1 for row in rows):
        parts.append(f"{again} repeated because the machine was busy")
    return ", ".join(parts)


def title(rows: Sequence[Row]) -> str:
    """The last line: the counts, and the slowest trial with its seconds."""
    slow = max(rows, key=lambda row: row.seconds)
    return f"chaos: {counted(rows)}; slowest {slow.name} {slow.seconds:.1f} s"


def slowest(rows: Sequence[Row]) -> list[str]:
    """One line for each of the slowest trials."""
    ordered = sorted(rows, key=lambda row: -row.seconds)[:SLOWEST]
    return [f"{row.seconds:7.1f} s  {row.validity:<7}  {row.scenario}" for row in ordered]
