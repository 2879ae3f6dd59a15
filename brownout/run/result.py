"""What comes out of a trial."""

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
    """What came out of a trial, and where its traces are."""

    scenario: str
    plan: Plan
    verdicts: tuple[Verdict, ...]
    history: History
    folder: Path
    seconds: float
    earlier: tuple[Result, ...] = field(default=())  # attempts that a busy machine made worthless
    services: Mapping[str, object] = field(default_factory=dict)  # what ran beside the subject in this attempt
    trace: Trace = field(default_factory=Trace)  # what the wire saw, of a trial that settles by evidence

    @property
    def validity(self) -> Validity:
        """Invalid before unknown before valid."""
        return merge(verdict.validity for verdict in self.verdicts)

    @property
    def busy(self) -> bool:
        """Whether it is unknown, and only because the machine was busy."""
        unknown = [verdict for verdict in self.verdicts if verdict.validity == "unknown"]
        return self.validity == "unknown" and bool(unknown) and all(verdict.busy_ms > 0 for verdict in unknown)

    @property
    def attempts(self) -> int:
        """How often it was tried."""
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
