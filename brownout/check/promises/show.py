"""Known holes, written down: the promise that an anomaly appears."""

from __future__ import annotations

from brownout.check.registry import CHECKERS, checker, finder_of, rule
from brownout.check.verdict import Anomaly, Ruling, witness
from brownout.history.view import History
from brownout.plan.near import known
from brownout.plan.promise import Promise


def _findable(kind: str, under: Promise | None = None) -> None:
    """Raise UnknownName, with near matches, for an anomaly that the promise cannot find."""
    if under is None:
        finder_of(kind)
    else:
        checker = CHECKERS[known("promise", under.name, CHECKERS)]
        known(f"anomaly of {under.name}", kind, checker.anomalies)


@checker(anomalies=("missing",), refuse=_findable)
def must_show(history: History, kind: str, *, under: Promise | None = None) -> Ruling:
    """This anomaly appears: a known hole, written down. `under` is the promise that it breaks.

    Valid if and only if the anomaly appears under that promise; another anomaly there is not hidden. The anomalies
    that were expected are kept for the report. What the inner checker does not know is unknown here too.
    """
    found = rule(history, under or Promise(finder_of(kind)))
    shown = [anomaly for anomaly in found.anomalies if anomaly.kind == kind]
    others = [anomaly for anomaly in found.anomalies if anomaly.kind != kind]
    if others:
        return Ruling(others)
    if shown:
        return Ruling(expected=shown, why=f"{kind} x{len(shown)}, as it was written down")
    if found.doubt:
        return Ruling(doubt=found.doubt, busy_ms=found.busy_ms)
    sentence = f"No operation was {kind}: the hole that is written down did not show ({found.why})."
    op = next((op for op in history.ops.values() if op.accepted), None)
    core = (op.invoke, op.accepted, *op.effects[:1], *op.of("started")[:1], *op.of("ended")[-1:]) if op else ()
    proved = witness(*core, history.events[-1], history=history)
    return Ruling([Anomaly("missing", sentence, witness=proved)])
