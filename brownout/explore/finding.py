"""What a trial of a fault map found."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from brownout.check.words import UNKNOWN, outcome
from brownout.explore.experiment import Experiment
from brownout.explore.maps.cell import Cell
from brownout.explore.plans import outward
from brownout.explore.witness import lines
from brownout.history.life import Life
from brownout.plan.point import Point, Step
from brownout.run.result import Result
from brownout.run.trace import Trace
from brownout.wire.redis.record import Sample

LOG = 4_000  # characters of the end of each log that are kept


@dataclass(frozen=True)
class Finding:
    """What a trial found. `word` is the outcome, `why` the reason of an unknown; `points` its trace.

    `samples` are the commands at each point, `times` (s, monotonic clock) when each came. `reached` points of the
    schedule were struck. `seconds` from the submission to the last effect or answer, `took` for all of the trial.
    `trouble` is the traceback when the trial itself went wrong. `busy` says that the machine may be why it is unknown:
    the trial may be run again. `facts` is what the outcome was made of. `steps` and `opened` are those of the trace.
    """

    word: str
    why: str = ""
    seconds: float = 0.0
    witness: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()
    samples: Mapping[Point, Sample] = field(default_factory=dict)
    times: Mapping[Point, float] = field(default_factory=dict)
    reached: int = 0
    took: float = 0.0
    acked: str = ""  # the message was acknowledged "before" or "after" its effect
    logs: Mapping[str, str] = field(default_factory=dict)  # the ends of all logs, of a trial that is not good
    trouble: str = ""
    busy: bool = False
    facts: str = ""
    steps: tuple[Step, ...] = ()
    opened: tuple[Step, ...] = ()

    @property
    def seen(self) -> str:
        """The word as a map keeps it."""
        return f"{UNKNOWN}: {self.why.splitlines()[0]}" if self.why else self.word

    @property
    def reason(self) -> str:
        """The word and why it is so, in one line."""
        return self.seen if self.why or not self.facts else f"{self.seen} ({self.facts})"

    @property
    def told(self) -> str:
        """All that is known: the reason, the witness, the traceback, the ends of the logs."""
        shown = [self.reason, *(f"      {line}" for line in self.witness)]
        return "\n".join([*shown, *([self.trouble] if self.trouble else ()), *ends(self.logs)])


def finding_of(result: Result, experiment: Experiment, schedule: Sequence[Cell]) -> Finding:
    """Fold the verdicts of a trial into one word, with what proves it."""
    life = Life.of(result.history, by_effect=experiment.application.effects is not None)
    made, trace = outcome(result.verdicts, life), told_outward(result.trace, experiment)
    why = ""
    if made.word == UNKNOWN:
        why = next((verdict.why for verdict in result.verdicts if verdict.validity == "unknown"), "nobody knows why")
    shown = bool(why) or (not schedule and str(made) not in ("once", "recovered"))
    sentences = (anomaly.sentence for verdict in result.verdicts for anomaly in verdict.anomalies)
    return Finding(
        UNKNOWN if why else str(made),
        why,
        max(0.0, (life.newest - life.sent) / 1e9),
        lines(result.history, life, trace, lambda name: outward(experiment, Point(f"{name}->", "")).edge[:-2]),
        trace.points,
        trace.samples,
        trace.times,
        trace.struck,
        result.seconds,
        trace.acked(min((effect.at for effect in life.own), default=0)),
        logs(result.folder) if shown else {},
        busy=bool(why) and result.busy,
        facts=" ".join(sentences),
        steps=trace.steps,
        opened=trace.opened,
    )


def broken(wrong: BaseException, began: float, folder: Path | None = None) -> Finding:
    """Unknown: the harness failed, or something did not come in time, as on a machine that is too busy."""
    trouble = "".join(traceback.format_exception(wrong)).rstrip()
    busy = isinstance(wrong, TimeoutError)
    what = (str(wrong) or "an answer did not come in time") if busy else f"{type(wrong).__name__}: {wrong}"
    return Finding(UNKNOWN, what, trouble=trouble, busy=busy, took=began, logs=logs(folder) if folder else {})


def told_outward(trace: Trace, experiment: Experiment) -> Trace:
    """The trace with the names of a map."""

    def name(point: Point) -> Point:
        return outward(experiment, point)

    def told(steps: Iterable[Step]) -> tuple[Step, ...]:
        return tuple(replace(step, point=name(step.point)) for step in steps)

    return replace(
        trace,
        points=tuple(map(name, trace.points)),
        times={name(point): at for point, at in trace.times.items()},
        samples={name(point): sample for point, sample in trace.samples.items()},
        handshakes=frozenset(map(name, trace.handshakes)),
        monitored=frozenset(map(name, trace.monitored)),
        steps=told(trace.steps),
        opened=told(trace.opened),
    )


def logs(folder: Path) -> dict[str, str]:
    """The ends of all logs of a trial."""
    return {path.name: path.read_text(errors="replace")[-LOG:] for path in sorted((folder / "log").glob("*.log"))}


def ends(logs: Mapping[str, str], lines: int = 20) -> list[str]:
    """The last lines of each log that has any, under its name."""
    shown: list[str] = []
    for name, text in logs.items():
        if last := text.splitlines()[-lines:]:
            shown += [f"--- the end of {name}", *last]
    return shown
