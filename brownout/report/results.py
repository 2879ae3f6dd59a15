"""Writes `results.json`, a trial's verdicts, into the trial's folder. The trial of a folder without this file has no
verdict."""

from __future__ import annotations

from brownout.run.events import Event, TrialEnded
from brownout.run.result import Result
from brownout.run.store import write


def results(event: Event) -> None:
    """Write `results.json` when an attempt of a trial has ended."""
    if isinstance(event, TrialEnded) and isinstance(event.result, Result):
        write(event.result.folder / "results.json", event.result.summary())
