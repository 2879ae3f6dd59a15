"""Known holes, written down: the promise that an anomaly appears."""

from __future__ import annotations

from collections.abc import Callable

from brownout.check.verdict import Anomaly, Verdict, judged, witness
from brownout.history.view import History
from brownout.plan.promise import Promise


def must_show(
    history: History, promise: Promise, inner: Promise, judge: Callable[[History, Promise], Verdict]
) -> Verdict:
    """Valid if and only if the anomaly appears under the `inner` promise; another anomaly there is not hidden.

    It keeps the anomalies that it expected, for the report. What the inner judge does not know is unknown here too.
    """
    kind, verdict = promise.args["kind"], judge(history, inner)
    shown = tuple(anomaly for anomaly in verdict.anomalies if anomaly.kind == kind)
    others = [anomaly for anomaly in verdict.anomalies if anomaly.kind != kind]
    if others:
        return judged(promise, others)
    if shown:
        return Verdict("valid", str(promise), shown, f"{kind} x{len(shown)}, as it was written down")
    if verdict.validity == "unknown":
        return judged(promise, doubt=verdict.why, busy_ms=verdict.busy_ms)
    sentence = f"No operation was {kind}: the hole that is written down did not show ({verdict.why})."
    op = next((op for op in history.ops.values() if op.accepted), None)
    core = (op.invoke, op.accepted, *op.effects[:1], *op.of("started")[:1], *op.of("ended")[-1:]) if op else ()
    proved = witness(*core, history.events[-1], history=history)
    return judged(promise, [Anomaly("missing", sentence, witness=proved)])
