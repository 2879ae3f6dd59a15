"""The result of a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brownout.check.verdict import Validity, Verdict, merge
from brownout.history.view import History
from brownout.plan.plan import Plan
from brownout.run.trace import Trace


@dataclass(frozen=True)
class Result:
    """The verdicts of a trial, its history, and the folder that has its files. `seconds` is its duration."""

    scenario: str
    plan: Plan
    verdicts: tuple[Verdict, ...]
    history: History
    folder: Path
    seconds: float
    earlier: tuple[Result, ...] = field(default=())  # attempts that could not be judged because of a busy machine
    services: Mapping[str, object] = field(default_factory=dict)  # the services that ran beside the subject, by name
    trace: Trace = field(default_factory=Trace)  # what passed on the wire; empty unless the trial settles by evidence

    @property
    def validity(self) -> Validity:
        """Invalid when a verdict is invalid, else unknown when a verdict is unknown, else valid."""
        return merge(verdict.validity for verdict in self.verdicts)

    @property
    def busy(self) -> bool:
        """Whether the trial is unknown only because the machine was busy."""
        unknown = [verdict for verdict in self.verdicts if verdict.validity == "unknown"]
        return self.validity == "unknown" and bool(unknown) and all(verdict.busy_ms > 0 for verdict in unknown)

    @property
    def attempts(self) -> int:
        """The number of attempts, this one included."""
        return 1 + len(self.earlier)

    def summary(self) -> dict[str, Any]:
        """As `results.json` has it."""
        return {
            "scenario": self.scenario,
            "seed": self.plan.seed,
            "validity": self.validity,
            "seconds": round(self.seconds, 3),
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
                for verdict in self.verdicts
            ],
        }  # fmt: skip
