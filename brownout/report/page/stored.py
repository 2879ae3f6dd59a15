"""Reads a trial's folder back as the result that it was written from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from brownout.check.verdict import Anomaly, Verdict
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.plan import Plan
from brownout.run.result import Result


def stored(folder: Path) -> Result:
    """The result of the trial in `folder`, without earlier attempts. Raises ValueError when it holds no such trial."""
    return with_history(verdicts_of(folder))


def with_history(result: Result) -> Result:
    """Return the result of a stored trial together with the history that lies in the trial's folder."""
    return replace(result, history=History.load(result.folder / "history.ndjson"))


def same_trial(one: Result, other: Result) -> bool:
    """Whether two stored results can be attempts of one trial."""
    return (one.scenario, one.plan.seed) == (other.scenario, other.plan.seed)


def verdicts_of(folder: Path) -> Result:
    """The result of the trial in `folder` with an empty history. Raises ValueError as `stored` does."""
    try:
        summary = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        plan = Plan.from_json((folder / "plan.json").read_text(encoding="utf-8"))
        verdicts = tuple(map(_verdict, summary["verdicts"]))
        scenario, seconds = summary["scenario"], summary["seconds"]
    except FileNotFoundError as error:
        raise ValueError(f"{folder} is no stored trial that has ended: there is no {error.filename}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} cannot be read as a stored trial: {error}") from error
    return Result(scenario, plan, verdicts, History(), folder, seconds)


def _verdict(given: dict[str, Any]) -> Verdict:
    return Verdict(
        given["validity"],
        given["promise"],
        tuple(map(_anomaly, given["anomalies"])),
        given["why"],
        given["busy_ms"],
    )


def _anomaly(given: dict[str, Any]) -> Anomaly:
    witness = tuple(map(Event.from_json, given["witness"]))
    return Anomaly(given["kind"], given["sentence"], given["key"], given["task"], witness)
