"""Every request is answered in time, with a status that the promise allows."""

from __future__ import annotations

from collections.abc import Iterable

from brownout.check.interval import ANSWERING, Findings, over, readable
from brownout.check.registry import checker
from brownout.check.verdict import NS, Anomaly, Ruling, witness
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds

#: When the promise sets no limit `within`, a request that its client gave up may have taken at most this many seconds.
GIVEN_UP_WITHIN = 10.0
_TIMEOUTS = ("ReadTimeout", "ConnectTimeout", "WriteTimeout", "PoolTimeout")


@checker(anomalies=("misanswered", "unanswered", "slow"), timed=("slow", "unanswered"))
def answers(
    history: History, statuses: Iterable[int], *, within: Duration | None = None, path: str | None = None
) -> Ruling:
    """Every request for work, or every request to `path`, is answered in time with one of `statuses`.

    The time of a request counts from the moment at which the request was really sent. The client's own time-out must be
    longer than `within`, because the client stops measuring at its time-out. Without the limit `within`, a request that
    its client gave up is late when it took more than GIVEN_UP_WITHIN seconds.
    """
    limit, findings, requests = None if within is None else seconds(within), Findings(), 0
    for op in history.ops.values():
        invoke = op.invoke
        if invoke is None or invoke.data.get("op") == "submit" or not (op.works if path is None else op.path == path):
            continue
        for sent, end in op.tries:
            requests += 1
            until = end.at if end else history.end
            status, error = (end.data.get("status"), str(end.data.get("error") or "")) if end else (None, "")
            gave_up = error.startswith(_TIMEOUTS)
            busy: int | None = 0
            if limit is not None and (busy := over(history, sent.at, until, limit * NS, ANSWERING)) is not None:
                took = readable((until - sent.at) / NS, limit)
                waited = f"waited {took} for an answer" if status else f"got no answer within {took}"
                kind, how = "slow", f"{waited}; the limit is {readable(limit)}"
            elif end is None:
                continue  # the trial ended before the request's limit was over
            elif status is None:
                kind, how = "unanswered", f"got no answer: {error or 'connection closed'}"
                busy = over(history, sent.at, until, GIVEN_UP_WITHIN * NS, ANSWERING) if gave_up else 0
            elif statuses and status not in statuses:
                allowed = " or ".join(map(str, statuses))
                kind, how, busy = "misanswered", f"got status {status}; the promise allows {allowed}", 0
            else:
                continue
            proved = witness(sent, end or history.events[-1], history=history)
            findings.add(Anomaly(kind, f"{op.path} ({op.key}) {how}.", op.key, witness=proved), busy or 0)
    doubt = "" if requests else f"no request {'for work' if path is None else f'to {path}'} was made"
    return findings.ruling(doubt=doubt, why=f"{requests} requests")
