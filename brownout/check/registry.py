"""Every checker, one line each, and how a verdict is reached with any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from brownout.check import (
    acted,
    answers,
    backlog,
    conservation,
    crosstalk,
    drain,
    latency,
    loss,
    once,
    recovery,
    retries,
    show,
    stall,
    status,
)
from brownout.check.verdict import Verdict, judged
from brownout.history.view import History
from brownout.plan.near import known
from brownout.plan.promise import Promise

Checker = Callable[[History, Promise], Verdict]


@dataclass(frozen=True)
class Entry:
    """A checker, the kinds of anomaly it can find, and which of them are measured in time.

    A checker gives a timed anomaly for sure only when the lower end of the measured time is over the limit, see
    check/interval.py.
    """

    check: Checker
    kinds: tuple[str, ...] = ()
    timed: tuple[str, ...] = ()


def judge(history: History, promise: Promise) -> Verdict:
    """The verdict on one promise. Unknown: nothing was recorded, the checker broke, or what the checker says.

    A busy machine makes nothing unknown but a time whose limit lies inside the measured interval.
    """
    entry = CHECKERS[known("promise", promise.name, CHECKERS)]
    if not len(history):
        return judged(promise, doubt="the history is empty")
    try:
        return entry.check(history, promise)
    except Exception as error:
        return judged(promise, doubt=f"the checker broke: {type(error).__name__}: {error}")


def judge_all(history: History, promises: Iterable[Promise]) -> tuple[Verdict, ...]:
    """One verdict for each promise, in their order."""
    return tuple(judge(history, promise) for promise in promises)


def _must_show(history: History, promise: Promise) -> Verdict:
    under = promise.args.get("under")
    inner = Promise(under["name"], under["args"]) if under else Promise(finder_of(promise.args["kind"]))
    return show.must_show(history, promise, inner, judge)


def finder_of(kind: str) -> str:
    """The first promise that can be broken by this kind of anomaly; UnknownName when there is none."""
    finders = {kind: name for name, entry in reversed(CHECKERS.items()) for kind in entry.kinds}
    return finders[known("anomaly", kind, finders)]


_UNDONE = ("lost", "misrouted", "late", "failed", "revoked")

CHECKERS: dict[str, Entry] = {
    "at_least_once": Entry(loss.at_least_once, _UNDONE, timed=("late",)),
    "at_most_once": Entry(once.at_most_once, ("duplicate",)),
    "effectively_once": Entry(once.effectively_once, ("duplicate", *_UNDONE), timed=("late",)),
    "drained": Entry(drain.drained, ("undrained",), timed=("undrained",)),
    "nothing_stuck": Entry(drain.nothing_stuck, ("stuck", "abandoned"), timed=("stuck",)),
    "answers": Entry(answers.answers, ("misanswered", "unanswered", "slow"), timed=("slow", "unanswered")),
    "status_monotone": Entry(status.status_monotone, ("zombie",)),
    "status_truthful": Entry(status.status_truthful, ("misreported",)),
    "attempts_within": Entry(retries.attempts_within, ("overtried",)),
    "backoff_within": Entry(retries.backoff_within, ("misbackoff", "unspread")),
    "no_cross_talk": Entry(crosstalk.no_cross_talk, ("cross-talk",)),
    "loop_never_stalls": Entry(stall.loop_never_stalls, ("stalled",), timed=("stalled",)),
    "nothing_raised": Entry(stall.nothing_raised, ("unhandled",)),
    "p99": Entry(latency.p99, ("slowed",), timed=("slowed",)),
    "recovers": Entry(recovery.recovers, ("late-recovery", "unrecovered"), timed=("late-recovery", "unrecovered")),
    "graceful": Entry(recovery.graceful, ("slow-shutdown", "interrupted"), timed=("slow-shutdown",)),
    "conservation": Entry(conservation.conservation, ("phantom", "orphan")),
    "faults_acted": Entry(acted.faults_acted),
    "backlog_within": Entry(backlog.backlog_within, ("backlog",), timed=("backlog",)),
    "must_show": Entry(_must_show, ("missing",)),
}
