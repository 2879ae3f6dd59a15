"""The result of a trial, and its JSON for `results.json`."""

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
    """The verdicts of a trial, its history, and the folder that has its files. `seconds` is the duration of the
    trial."""

    scenario: str
    plan: Plan
    verdicts: tuple[Verdict, ...]
    history: History
    folder: Path
    seconds: float
    # earlier attempts of the trial that could not be judged because of a busy machine
    earlier: tuple[Result, ...] = field(default=())
    services: Mapping[str, object] = field(default_factory=dict)  # The services that ran beside the subject, by name.
    # The Redis requests of the trial; empty unless the plan sets `settle`.
    trace: Trace = field(default_factory=Trace)

    @property
    def validity(self) -> Validity:
        """The validity of the trial: invalid when a verdict is invalid, else unknown when a verdict is unknown, else
        valid."""
        return merge(verdict.validity for verdict in self.verdicts)

    @property
    def busy(self) -> bool:
        """Whether the verdict on the trial is unknown only because the machine was busy."""
        unknown = [verdict for verdict in self.verdicts if verdict.validity == "unknown"]
        return self.validity == "unknown" and bool(unknown) and all(verdict.busy_ms > 0 for verdict in unknown)

    @property
    def attempts(self) -> int:
        """The number of attempts of the trial, including this attempt."""
        return 1 + len(self.earlier)

    def summary(self) -> dict[str, Any]:
        """Return the result as the mapping that `results.json` stores."""
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
                        {"kind": anomaly.kind, "sentence": anomaly.sentence, "key": anomaly.key, "task": anomaly.task,
                         "witness": [event.to_json() for event in anomaly.witness]}
                        for anomaly in verdict.anomalies
                    ],
                }
                for verdict in self.verdicts
            ],
        }  # fmt: skip
