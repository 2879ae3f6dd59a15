"""Every request is answered in time, with one of the answers that the contract knows."""

from __future__ import annotations

from brownout.check.interval import ANSWERING, Findings, over
from brownout.check.verdict import NS, Anomaly, Verdict, witness
from brownout.history.view import History
from brownout.plan.duration import text
from brownout.plan.promise import Promise

#: Seconds in which a request is answered at all, where no bound was promised; the client gives up after more.
ANSWERED = 10.0
_TIMEOUTS = ("ReadTimeout", "ConnectTimeout", "WriteTimeout", "PoolTimeout")


def answers(history: History, promise: Promise) -> Verdict:
    """Each request for work, or each request to `path`, ends `within` its time with one of `statuses`.

    A client's own time-out must be longer than `within`, else it hides what it should measure. Time counts from the
    moment at which the request was really sent. Without `within`, a client that gave up waiting is judged by ANSWERED.
    """
    statuses, within, path = (promise.args.get(name) for name in ("statuses", "within", "path"))
    found, asked = Findings(), 0
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
            if within is not None and (busy := over(history, sent.at, until, within * NS, ANSWERING)) is not None:
                took = text(round((until - sent.at) / NS, 3))
                kind, how = "slow", f"waited {took} for an answer; the limit is {text(within)}"
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
    return found.verdict(promise, doubt="" if asked else "no such request was made", why=f"{asked} requests")
