"""The last word of a run: how many trials there were, and what came out of them."""

from __future__ import annotations

from collections.abc import Sequence

from brownout.report.row import WORST, Row

SLOWEST = 5


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
