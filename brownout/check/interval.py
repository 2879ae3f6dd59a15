"""How long something took, on a machine that may have been busy: an interval.

Its upper end is the wall time. Its lower end is the wall time less the time in which the threads concerned may have
waited for a CPU meanwhile. Two witnesses tell of that: `waited` events give, for a span of time and for each process,
how long its threads were ready to run and did not (run delay, from the kernel); `machine-late` events tell how late a
thread of the harness that only sleeps came back, which also shows a machine that stood still as a whole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from brownout.check.verdict import Anomaly, Ruling
from brownout.history.view import History

NS_PER_MS = 1_000_000
MOMENT = 500_000_000  # ns
#: Who takes part in answering a request.
ANSWERING = ("api", "harness", "wire", "broker")


@dataclass(frozen=True)
class Doubt:
    """An anomaly that a busy machine may have made: `busy` nanoseconds of the measured time may have been waiting."""

    anomaly: Anomaly
    busy: int


def busy(history: History, begin: int, end: int, sources: Iterable[str] = ()) -> int:
    """Nanoseconds between `begin` and `end` in which what is measured may have waited for a CPU.

    Within a MOMENT it is what the threads of the `sources` waited together: a request passes them one after the other.
    Over a longer time, and without sources, it is what the one thread waited that waited longest at each time: one of
    them at a time holds everything up. A source is a process or the common name of its members ("worker" is worker-1,
    worker-2, ...).
    """
    wanted = tuple(sources) if end - begin <= MOMENT else ()
    found = 0
    spans = history.waits
    # Spans of one witness do not overlap and are short, so what ends before `begin` is skipped by its begin alone.
    for span in spans[bisect_right(spans, begin - history.longest_wait, key=lambda span: span.begin) :]:
        if span.begin >= end:
            break
        overlap = min(span.end, end) - max(span.begin, begin)
        if overlap > 0:
            found += min(overlap, span.of(wanted))
    return min(found, max(0, end - begin))


def over(history: History, begin: int, end: int, limit: float, sources: Iterable[str] = ()) -> int | None:
    """Whether the time from `begin` to `end` is over `limit` (all in nanoseconds).

    None: it is within the limit. 0: it is over, however busy the machine was. More than 0: the wall time is over the
    limit and the lower end of the interval is not; so many nanoseconds may have been waiting for a CPU.
    """
    took = end - begin
    if took <= limit:
        return None
    waited = busy(history, begin, end, sources)
    return 0 if took - waited > limit else waited


class Findings:
    """The anomalies of one promise: `sure` ones, and `doubts`, which a busy machine may have made."""

    def __init__(self) -> None:
        self.sure: list[Anomaly] = []
        self.doubts: list[Doubt] = []

    def add(self, anomaly: Anomaly, busy: int = 0) -> None:
        """A sure anomaly, or with `busy` nanoseconds a doubt."""
        if busy:
            self.doubts.append(Doubt(anomaly, busy))
        else:
            self.sure.append(anomaly)

    def ruling(self, *, doubt: str = "", why: str = "") -> Ruling:
        """What is sure; else another `doubt`, or what a busy machine may have made."""
        if not self.doubts or self.sure or doubt:
            return Ruling(self.sure, doubt, why)
        longest = max(doubt.busy for doubt in self.doubts) / NS_PER_MS
        sentence = self.doubts[0].anomaly.sentence
        reason = f"{sentence} The machine was busy for up to {longest:.3g} ms of that time, so nobody knows."
        return Ruling(doubt=reason, busy_ms=longest)
