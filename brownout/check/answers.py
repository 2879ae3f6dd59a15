"""Every request is answered in time, with one of the answers that the contract knows."""

from __future__ import annotations

from brownout.check.verdict import NS, Anomaly, Verdict, judged, witness
from brownout.history.view import History
from brownout.plan.duration import text
from brownout.plan.promise import Promise


def answers(history: History, promise: Promise) -> Verdict:
    """Each request for work, or each request to `path`, ends `within` its time with one of `statuses`.

    A client's own time-out must be longer than `within`, else it hides what it should measure. Time counts from the
    moment at which the request was really sent.
    """
    statuses, within, path = (promise.args.get(name) for name in ("statuses", "within", "path"))
    anomalies, asked = [], 0
    for op in history.ops.values():
        invoke = op.invoke
        if invoke is None or invoke.data.get("op") == "submit" or not (op.works if path is None else op.path == path):
            continue
        for sent, end in op.tries:
            asked += 1
            waited = (end.at if end else history.end) - sent.at
            status = end.data.get("status") if end else None
            if within is not None and waited > within * NS:
                kind, how = "slow", f"waited {text(round(waited / NS, 3))} for an answer; promised were {text(within)}"
            elif end is None:
                continue  # the trial ended before its time was up
            elif status is None:
                kind, how = "unanswered", f"got no answer: {end.data.get('error') or 'connection closed'}"
            elif statuses and status not in statuses:
                kind, how = "misanswered", f"got {status}; promised is {' or '.join(map(str, statuses))}"
            else:
                continue
            proved = witness(sent, end or history.events[-1], history=history)
            anomalies.append(Anomaly(kind, f"{op.path} ({op.key}) {how}.", op.key, witness=proved))
    return judged(promise, anomalies, doubt="" if asked else "no such request was made", why=f"{asked} requests")
