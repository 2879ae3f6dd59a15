"""A fault elsewhere does not make this slow: latency against a healthy control of the same trial."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

from brownout.check.verdict import NS, Anomaly, Verdict, judged, witness
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.duration import text
from brownout.plan.promise import Promise

_ENOUGH = 20
Sample = tuple[int, Event, Event | None]


def _quantile(samples: Sequence[Sample], q: float) -> Sample:
    """The nearest-rank quantile: a sample that was really seen."""
    ordered = sorted(samples, key=lambda sample: sample[0])
    return ordered[math.ceil(q * len(ordered)) - 1]


def _busy(history: History) -> list[tuple[int, int]]:
    """Spans (ns) in which the machine was late, in order and apart."""
    spans: list[tuple[int, int]] = []
    late = history.kind("machine-late", "machine-stalled", "starved")
    for begun, over in sorted((int(e.at - e.data["ms"] * 1e6), e.at) for e in late):
        if spans and begun <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], over))
        else:
            spans.append((begun, over))
    return spans


def _within(spans: Sequence[tuple[int, int]], begin: int, end: int) -> int:
    """How much (ns) of the time from `begin` to `end` lies in the spans."""
    found = 0
    for begun, over in spans[max(0, bisect_left(spans, (begin, begin)) - 1) :]:
        if begun >= end:
            break
        found += max(0, min(over, end) - max(begun, begin))
    return found


def p99(history: History, promise: Promise) -> Verdict:
    """While faults last, the 99th percentile of `path` is at most `times` that of before, or `floor` seconds.

    Before is before the first fault. Latency counts from the intended time, so that a client that had to wait for
    its turn is not forgotten; time in which this machine did not get round to its work (`machine-late`, `starved`)
    does not count. Fewer than 20 requests on either side show nothing good.
    """
    path, times, floor = promise.args["path"], promise.args.get("times", 3), promise.args.get("floor", 0.05)
    if not history.faults:
        return judged(promise, doubt="there was no fault, so nothing to compare")
    begin = history.faults[0].start
    stops = [window.stop for window in history.faults]
    stop = max((s for s in stops if s), key=lambda s: s.at) if all(stops) else None
    control: list[Sample] = []
    faulted: list[Sample] = []
    busy = _busy(history)
    for op in history.ops.values():
        for sent, end in op.tries if op.path == path else ():
            intended, ended = sent.data.get("intended", sent.at), end.at if end else history.end
            sample = (ended - intended - _within(busy, intended, ended), sent, end)
            if sent.at < begin.at:
                control.append(sample)
            elif stop is None or sent.at <= stop.at:
                faulted.append(sample)
    if not control or not faulted:
        return judged(promise, doubt=f"no request to {path} {'before' if not control else 'during'} the faults")
    usual, slow = _quantile(control, 0.99), _quantile(faulted, 0.99)
    limit = max(floor * NS, times * usual[0])
    why = f"p99 {text(round(slow[0] / NS, 4))} during the faults, {text(round(usual[0] / NS, 4))} before"
    few = f"only {len(control)} requests before the faults and {len(faulted)} during them"
    doubt = few if min(len(control), len(faulted)) < _ENOUGH else ""
    if slow[0] <= limit:
        return judged(promise, doubt=doubt, why=why)
    sentence = f"{path} got slow: {why}; promised were {text(round(limit / NS, 4))}."
    ends = [sample[2] or history.events[-1] for sample in (usual, slow)]
    proved = witness(usual[1], slow[1], *ends, begin, stop)
    return judged(promise, [Anomaly("slowed", sentence, slow[1].key, witness=proved)])
