"""Every request is answered in time, with one of the answers that the contract knows."""

from __future__ import annotations

from collections.abc import Iterable

from brownout.check.interval import ANSWERING, Findings, over
from brownout.check.registry import checker
from brownout.check.verdict import NS, Anomaly, Ruling, witness
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds, text

#: Seconds in which a request is answered at all, where no bound was promised; the client gives up after more.
ANSWERED = 10.0
_TIMEOUTS = ("ReadTimeout", "ConnectTimeout", "WriteTimeout", "PoolTimeout")


@checker(anomalies=("misanswered", "unanswered", "slow"), timed=("slow", "unanswered"))
def answers(
    history: History, statuses: Iterable[int], *, within: Duration | None = None, path: str | None = None
) -> Ruling:
    """Every request for work, or every one to `path`, is answered in time with one of these statuses.

    A client's own time-out must be longer than `within`, else it hides what it should measure. Time counts from
    the moment at which the request was really sent. Without `within`, a client that gave up waiting is judged by
    ANSWERED.
    """
    limit, found, asked = None if within is None else seconds(within), Findings(), 0
    for op in history.ops.values():
        invoke = op.invoke
        if invoke is None or invoke.data.get("op") == "submit" or not (op.works if path is None else op.path == path):
            continue
        for sent, end in op.tries:
            asked += 1
            until = end.at if end else history.end
            status, error = (end.data.get("status"), str(end.data.get("error") or "")) if end else (None, "")
            gave_up = error.startswith(_TIMEOUTS)
            busy: int | None = 0
            if limit is not None and (busy := over(history, sent.at, until, limit * NS, ANSWERING)) is not None:
                took = text(round((until - sent.at) / NS, 3))
                kind, how = "slow", f"waited {took} for an answer; the limit is {text(limit)}"
            elif end is None:
                continue  # the trial ended before its time was up
            elif status is None:
                kind, how = "unanswered", f"got no answer: {error or 'connection closed'}"
                busy = over(history, sent.at, until, ANSWERED * NS, ANSWERING) if gave_up else 0
            elif statuses and status not in statuses:
                kind, how, busy = "misanswered", f"got {status}; promised is {' or '.join(map(str, statuses))}", 0
            else:
                continue
            proved = witness(sent, end or history.events[-1], history=history)
            found.add(Anomaly(kind, f"{op.path} ({op.key}) {how}.", op.key, witness=proved), busy or 0)
    return found.ruling(doubt="" if asked else "no such request was made", why=f"{asked} requests")
