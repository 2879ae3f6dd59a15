"""Faults do not make a path slow: its latency is compared with that before the faults, in the same trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from brownout.check.interval import ANSWERING, Findings, busy, readable
from brownout.check.registry import checker
from brownout.check.verdict import NS, Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds

_ENOUGH = 20  # the smallest number of requests before the faults, and of requests during the faults


@dataclass(frozen=True)
class Sample:
    """One request: its latency as an interval in nanoseconds, and the two events between which the latency was
    measured."""

    most: int
    least: int
    sent: Event
    end: Event | None


def _quantile(samples: Sequence[Sample], q: float, by: Callable[[Sample], int]) -> Sample:
    """Return the quantile by the nearest-rank method, so the result is one of the samples."""
    return sorted(samples, key=by)[math.ceil(q * len(samples)) - 1]


def _samples(history: History, path: str) -> Iterator[Sample]:
    """Return the requests to a path. Latency counts from the intended start, so that a late start counts, too."""
    for op in history.ops.values():
        for sent, end in op.tries if op.path == path else ():
            intended, ended = sent.data.get("intended", sent.at), end.at if end else history.end
            most = ended - intended
            yield Sample(most, most - busy(history, intended, ended, ANSWERING), sent, end)


@checker(anomalies=("slowed",), timed=("slowed",))
def p99(history: History, path: str, *, times: float = 3, floor: Duration = "50ms") -> Ruling:
    """During the faults the 99th percentile of the latency of `path` is at most `times` that before, or `floor`.

    "Before the faults" is the time until the first fault. Both percentiles are measured as intervals: the lower ends
    leave out the time in which the client, the API and the broker may have waited for a CPU. The verdict is valid when
    the wall times are within the limit that follows from wall times, and the lower ends are within the limit that
    follows from lower ends. The verdict is invalid when even the lower end of the interval is over the limit that
    follows from wall times. With fewer than 20 requests before or during the faults the verdict is never valid.
    """
    if not history.faults:
        return Ruling(doubt="no fault was injected, so there is nothing to compare")
    begin = history.faults[0].start
    stops = [window.stop for window in history.faults]
    stop = max((event for event in stops if event), key=lambda event: event.at) if all(stops) else None
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
    why = f"p99 was {readable(slow.most / NS, limit / NS)} during the faults and {readable(usual.most / NS)} before"
    few = f"only {len(control)} requests before the faults and {len(faulted)} during them"
    doubt = few if min(len(control), len(faulted)) < _ENOUGH else ""
    if slow.most <= limit and slow_least <= limit_least:
        return Ruling(doubt=doubt, why=why)
    findings = Findings()
    sentence = f"{path} got slow: {why}; the limit is {readable(limit / NS)}."
    ends = [sample.end or history.events[-1] for sample in (usual, slow)]
    proved = witness(usual.sent, slow.sent, *ends, begin, stop)
    anomaly = Anomaly("slowed", sentence, slow.sent.key, witness=proved)
    findings.add(anomaly, 0 if slow_least > limit else max(1, slow.most - slow_least))
    return findings.ruling(why=why)
