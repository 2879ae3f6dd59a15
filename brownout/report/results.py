"""`results.json`: what came out of a trial, in the folder of its traces. Without it the trial counts as broken."""

from __future__ import annotations

from brownout.run.events import Event, TrialEnded
from brownout.run.result import Result
from brownout.run.store import write


def results(event: Event) -> None:
    """Write `results.json` of each attempt of a trial that has ended."""
    if isinstance(event, TrialEnded) and isinstance(event.result, Result):
        write(event.result.folder / "results.json", event.result.summary())
