"""Measured times as intervals, because a busy machine makes a measured time uncertain.

The upper end of a measured interval is the wall time. The lower end of the interval is the wall time minus the time in
which the threads may have waited for a CPU. Two kinds of event record how long threads waited for a CPU. A `waited`
event gives, for a span of time and for each process, how long the process's threads were ready to run and did not run
(run delay, from the kernel). A `machine-late` event says how late a sleeping thread of brownout woke up; it also shows
when the whole machine stood still.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from brownout.check.verdict import Anomaly, Ruling
from brownout.history.view import History

NS_PER_MS = 1_000_000
#: In a span of up to SHORT nanoseconds the waits of several processes for a CPU are added up.
SHORT = 500_000_000
#: The processes that take part in answering a request.
ANSWERING = ("api", "harness", "wire", "broker")


def readable(seconds: float, limit: float | None = None) -> str:
    """Return seconds as text for a message, with three significant digits: "2.48 s", or "35 ms" below one second.

    The text gets more digits ("10.04 s") when it would otherwise be equal to the text of the limit ("10 s").
    """
    digits = 3
    while limit is not None and seconds != limit and digits < 9 and _text(seconds, digits) == _text(limit, digits):
        digits += 1
    return _text(seconds, digits)


def _text(seconds: float, digits: int) -> str:
    number, unit = (seconds * 1000, "ms") if 0 < seconds < 0.9995 else (seconds, "s")
    return f"{float(f'{number:.{digits}g}'):.12g} {unit}"


@dataclass(frozen=True)
class Doubt:
    """An anomaly that a busy machine may have caused: for up to `busy` nanoseconds of the measured time, threads waited
    for a CPU."""

    anomaly: Anomaly
    busy: int


def busy(history: History, begin: int, end: int, sources: Iterable[str] = ()) -> int:
    """Nanoseconds between `begin` and `end` in which the measured work may have waited for a CPU.

    Up to SHORT, the waits of all threads of the `sources` are added up, because a request passes through one thread
    after the other. Over a longer time, or without `sources`, only the longest wait of a single thread counts at each
    moment, because one thread at a time delays all others. A source is a process, or the common name of several
    processes ("worker" for worker-1, worker-2, ...).
    """
    wanted = tuple(sources) if end - begin <= SHORT else ()
    waited = 0
    spans = history.waits
    # No span is longer than `longest_wait`, so a span that begins before `begin - longest_wait` ends before `begin`.
    for span in spans[bisect_right(spans, begin - history.longest_wait, key=lambda span: span.begin) :]:
        if span.begin >= end:
            break
        overlap = min(span.end, end) - max(span.begin, begin)
        if overlap > 0:
            waited += min(overlap, span.of(wanted))
    return min(waited, max(0, end - begin))


def over(history: History, begin: int, end: int, limit: float, sources: Iterable[str] = ()) -> int | None:
    """Whether the time from `begin` to `end` is over `limit` (all in nanoseconds).

    Returns None when the time is within the limit, and 0 when the time exceeds the limit even after the waits for a CPU
    are subtracted. When the wall time is over the limit and the lower end of the interval is not, returns the
    nanoseconds (more than 0) in which threads may have waited for a CPU.
    """
    took = end - begin
    if took <= limit:
        return None
    waited = busy(history, begin, end, sources)
    return 0 if took - waited > limit else waited


class Findings:
    """The anomalies of one promise.

    `sure` has the anomalies that are certain, `doubts` those that a busy machine may have caused.
    """

    def __init__(self) -> None:
        self.sure: list[Anomaly] = []
        self.doubts: list[Doubt] = []

    def add(self, anomaly: Anomaly, busy: int = 0) -> None:
        """Add an anomaly as certain; or as a doubt, when threads may have waited for a CPU for `busy` nanoseconds."""
        if busy:
            self.doubts.append(Doubt(anomaly, busy))
        else:
            self.sure.append(anomaly)

    def ruling(self, *, doubt: str = "", why: str = "") -> Ruling:
        """Return a ruling with the anomalies that are certain; if there are none, a ruling with `doubt`, or with the
        doubt that the machine was busy."""
        if not self.doubts or self.sure or doubt:
            return Ruling(self.sure, doubt, why)
        longest = max(doubt.busy for doubt in self.doubts) / NS_PER_MS
        sentence = self.doubts[0].anomaly.sentence
        reason = f"{sentence} This is not sure: the machine was busy for up to {longest:.3g} ms of that time."
        return Ruling(doubt=reason, busy_ms=longest)
