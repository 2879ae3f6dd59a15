"""`results.json`: what came out of a trial, in the folder of its traces. Without it the trial counts as broken."""

from __future__ import annotations

from typing import Any

from brownout.run.events import Event, TrialEnded
from brownout.run.result import Result
from brownout.run.store import write


def results(event: Event) -> None:
    """Write `results.json` of each attempt of a trial that has ended."""
    if isinstance(event, TrialEnded) and isinstance(event.result, Result):
        write(event.result.folder / "results.json", summary(event.result))


def summary(result: Result) -> dict[str, Any]:
    """As the file has it."""
    return {
        "scenario": result.scenario,
        "seed": result.plan.seed,
        "validity": result.validity,
        "seconds": round(result.seconds, 3),
        "verdicts": [
            {
                "promise": verdict.promise,
                "validity": verdict.validity,
                "why": verdict.why,
                "busy_ms": round(verdict.busy_ms, 1),
                "anomalies": [
                    {"kind": each.kind, "sentence": each.sentence, "key": each.key, "task": each.task,
                     "witness": [event.to_json() for event in each.witness]}
                    for each in verdict.anomalies
                ],
            }
            for verdict in result.verdicts
        ],
    }  # fmt: skip
