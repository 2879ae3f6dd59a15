"""Writes `results.json`, a trial's verdicts, into the trial's folder. A folder without the file has no verdict."""

from __future__ import annotations

from typing import Any

from brownout.run.events import Event, TrialEnded
from brownout.run.result import Result
from brownout.run.store import write


def results(event: Event) -> None:
    """Write `results.json` when an attempt of a trial has ended."""
    if isinstance(event, TrialEnded) and isinstance(event.result, Result):
        write(event.result.folder / "results.json", summary(event.result))


def summary(result: Result) -> dict[str, Any]:
    """The content of `results.json`: scenario, seed, validity, seconds, and each verdict with its anomalies."""
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
                    {"kind": anomaly.kind, "sentence": anomaly.sentence, "key": anomaly.key, "task": anomaly.task,
                     "witness": [event.to_json() for event in anomaly.witness]}
                    for anomaly in verdict.anomalies
                ],
            }
            for verdict in result.verdicts
        ],
    }  # fmt: skip
