"""Makes promises which say that a known anomaly must appear."""

from __future__ import annotations

from brownout.check.registry import CHECKERS, checker, finder_of, rule
from brownout.check.verdict import Anomaly, Ruling, witness
from brownout.history.operation import Operation
from brownout.history.view import History
from brownout.plan.near import known
from brownout.plan.promise import Promise


def _findable(kind: str, under: Promise | None = None) -> None:
    """Raise UnknownName, with similar names, when the checker of the promise cannot find this kind of anomaly."""
    if under is None:
        finder_of(kind)
    else:
        checker = CHECKERS[known("promise", under.name, CHECKERS)]
        known(f"anomaly of {under.name}", kind, checker.anomalies)


def _struck(history: History) -> Operation | None:
    """The operation that the first fault struck, as far as times tell: the newest one that was under way when the fault
    began. Without such an operation, the first one that was accepted."""
    accepted = [op for op in history.ops.values() if op.accepted]
    begin = history.faults[0].start.at if history.faults else 0
    begun = [op for op in accepted if op.events[0].at <= begin]
    under_way = [op for op in begun if not any(event.at <= begin for event in op.of("effect", "ended"))]
    return max(under_way, key=lambda op: op.events[0].at) if under_way else next(iter(accepted), None)


@checker(anomalies=("missing",), refuse=_findable)
def must_show(history: History, kind: str, *, under: Promise | None = None) -> Ruling:
    """The known anomaly `kind` appears. `under` is the promise that the anomaly breaks.

    The verdict is valid only when the promise `under` shows the anomaly `kind`, and invalid when it shows another
    anomaly. The report shows the expected anomalies. When the verdict on the promise `under` is unknown and no anomaly
    appears, this verdict is unknown, too.
    """
    inner = rule(history, under or Promise(finder_of(kind)))
    shown = [anomaly for anomaly in inner.anomalies if anomaly.kind == kind]
    others = [anomaly for anomaly in inner.anomalies if anomaly.kind != kind]
    if others:
        return Ruling(others)
    if shown:
        return Ruling(expected=shown, why=f"{kind} x{len(shown)}, as expected")
    if inner.doubt:
        return Ruling(doubt=inner.doubt, busy_ms=inner.busy_ms)
    sentence = f"The expected anomaly '{kind}' did not appear{f' ({inner.why})' if inner.why else ''}."
    op = _struck(history)
    core = (op.invoke, op.accepted, *op.effects[:1], *op.of("started")[:1], *op.of("ended")[-1:]) if op else ()
    proved = witness(*core, history.events[-1], history=history)
    return Ruling([Anomaly("missing", sentence, witness=proved)])
