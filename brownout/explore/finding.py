"""Findings: the result of one trial of a fault map."""

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
from brownout.subject.application import Unusable
from brownout.wire.redis.record import Sample

LOG = 4_000  # number of characters that are kept from the end of each log


@dataclass(frozen=True)
class Finding:
    """The result of one trial. `word` is the outcome, `why` is the reason for an unknown outcome, `points` are the
    fault points in the order in which the trial met them.

    `samples` has the Redis commands that were seen at each fault point, `times` the time (s, monotonic clock) of each
    point. `reached` says for how many of the planned points a fault struck. `seconds` is the time from the submission
    to the last effect or answer, `took` is the time of the whole trial. `trouble` is the traceback of an error in the
    trial itself. If `busy` is true, the outcome may be unknown only because the machine was busy, and the trial may be
    run again. `unusable` says why no trial can use the application. `facts` has a sentence for each anomaly. `steps`
    and `opened` are copies of the fields with these names of the class `Trace`.
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
    acked: str = ""  # The message was acknowledged "before" or "after" its effect.
    logs: Mapping[str, str] = field(default_factory=dict)  # The ends of all logs, kept when the outcome is not good.
    trouble: str = ""
    busy: bool = False
    facts: str = ""
    unusable: str = ""  # why no trial can use the application
    steps: tuple[Step, ...] = ()
    opened: tuple[Step, ...] = ()

    @property
    def seen(self) -> str:
        """The outcome as a map stores it: the word, or "unknown" with its reason."""
        return f"{UNKNOWN}: {self.why.splitlines()[0]}" if self.why else self.word

    @property
    def reason(self) -> str:
        """The outcome and its reason in one line."""
        return self.seen if self.why or not self.facts else f"{self.seen} ({self.facts})"

    @property
    def told(self) -> str:
        """Lines about the outcome for a person: the reason, the witness (lines that prove it), the traceback, the ends
        of the logs."""
        shown = [self.reason, *(f"      {line}" for line in self.witness)]
        return "\n".join([*shown, *([self.trouble] if self.trouble else ()), *ends(self.logs)])


def finding_of(result: Result, experiment: Experiment, schedule: Sequence[Cell]) -> Finding:
    """Make the finding (the result for a fault map) of a trial from the trial's verdicts and trace."""
    life = Life.of(result.history, by_effect=experiment.application.effects is not None)
    made, trace = outcome(result.verdicts, life), told_outward(result.trace, experiment)
    why = ""
    if made.word == UNKNOWN:
        why = next((verdict.why for verdict in result.verdicts if verdict.validity == "unknown"), "no reason is known")
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
    """Return the result of a trial that raised the error `wrong`: the outcome is unknown, and `busy` is true when the
    error is a TimeoutError."""
    kept = logs(folder) if folder else {}
    if isinstance(wrong, Unusable):
        return Finding(UNKNOWN, str(wrong), took=began, logs=kept, unusable=str(wrong))
    trouble = "".join(traceback.format_exception(wrong)).rstrip()
    busy = isinstance(wrong, TimeoutError)
    what = (str(wrong) or "an answer did not come in time") if busy else f"{type(wrong).__name__}: {wrong}"
    return Finding(UNKNOWN, what, trouble=trouble, busy=busy, took=began, logs=kept)


def told_outward(trace: Trace, experiment: Experiment) -> Trace:
    """Return the trial's trace of fault points, with the names that a map uses for network edges."""

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
    """Return the end of each log file of a trial."""
    return {path.name: path.read_text(errors="replace")[-LOG:] for path in sorted((folder / "log").glob("*.log"))}


def ends(logs: Mapping[str, str], lines: int = 20) -> list[str]:
    """Return, for each log that is not empty, a heading with the log's name and the log's last lines."""
    shown: list[str] = []
    for name, text in logs.items():
        if last := text.splitlines()[-lines:]:
            shown += [f"--- the end of {name}", *last]
    return shown
