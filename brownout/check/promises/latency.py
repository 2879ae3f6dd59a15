"""A fault elsewhere does not make this slow: latency against a healthy control of the same trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from brownout.check.interval import ANSWERING, Findings, busy
from brownout.check.registry import checker
from brownout.check.verdict import NS, Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds, text

_ENOUGH = 20


@dataclass(frozen=True)
class Sample:
    """One request: its latency in nanoseconds as an interval, and the events that give it."""

    most: int
    least: int
    sent: Event
    end: Event | None


def _quantile(samples: Sequence[Sample], q: float, by: Callable[[Sample], int]) -> Sample:
    """The nearest-rank quantile: a sample that was really seen."""
    return sorted(samples, key=by)[math.ceil(q * len(samples)) - 1]


def _samples(history: History, path: str) -> Iterator[Sample]:
    """Latency counts from the intended time, so that a client that had to wait for the API is not left out."""
    for op in history.ops.values():
        for sent, end in op.tries if op.path == path else ():
            intended, ended = sent.data.get("intended", sent.at), end.at if end else history.end
            most = ended - intended
            yield Sample(most, most - busy(history, intended, ended, ANSWERING), sent, end)


@checker(anomalies=("slowed",), timed=("slowed",))
def p99(history: History, path: str, *, times: float = 3, floor: Duration = "50ms") -> Ruling:
    """During the faults the 99th percentile of `path` is at most `times` that of before, or `floor`.

    Before is before the first fault. Both percentiles are intervals: their lower ends are without the time in
    which the client, the API and the broker may have waited for a CPU. The promise is kept when it is kept by the
    lower ends and by the wall times, each against its own control; it is broken when even the lower end is over
    the greater limit. Fewer than 20 requests on either side show nothing good.
    """
    if not history.faults:
        return Ruling(doubt="there was no fault, so nothing to compare")
    begin = history.faults[0].start
    stops = [window.stop for window in history.faults]
    stop = max((s for s in stops if s), key=lambda s: s.at) if all(stops) else None
    control: list[Sample] = []
    faulted: list[Sample] = []
    for sample in _samples(history, path):
        if sample.sent.at < begin.at:
            control.append(sample)
        elif stop is None or sample.sent.at <= stop.at:
            faulted.append(sample)
    if not control or not faulted:
        return Ruling(doubt=f"no request to {path} {'before' if not control else 'during'} the faults")
    usual, slow = (_quantile(samples, 0.99, lambda sample: sample.most) for samples in (control, faulted))
    usual_least, slow_least = (
        _quantile(samples, 0.99, lambda sample: sample.least).least for samples in (control, faulted)
    )
    limit, limit_least = (max(seconds(floor) * NS, times * value) for value in (usual.most, usual_least))
    why = f"p99 {text(round(slow.most / NS, 4))} during the faults, {text(round(usual.most / NS, 4))} before"
    few = f"only {len(control)} requests before the faults and {len(faulted)} during them"
    doubt = few if min(len(control), len(faulted)) < _ENOUGH else ""
    if slow.most <= limit and slow_least <= limit_least:
        return Ruling(doubt=doubt, why=why)
    found = Findings()
    sentence = f"{path} got slow: {why}; the limit is {text(round(limit / NS, 4))}."
    ends = [sample.end or history.events[-1] for sample in (usual, slow)]
    proved = witness(usual.sent, slow.sent, *ends, begin, stop)
    anomaly = Anomaly("slowed", sentence, slow.sent.key, witness=proved)
    found.add(anomaly, 0 if slow_least > limit else max(1, slow.most - slow_least))
    return found.ruling(why=why)
