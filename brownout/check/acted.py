"""A fault that nobody met proves nothing."""

from __future__ import annotations

from brownout.check.accounting import is_over
from brownout.check.loss import finished
from brownout.check.verdict import Verdict, judged
from brownout.history.view import History, Window
from brownout.plan.promise import Promise


def faults_acted(history: History, promise: Promise) -> Verdict:
    """Every fault was seen to act while an operation was in flight, and healed. Otherwise unknown, never invalid.

    In flight is from the invoke to the effect, or to the answer of what has none. A fault without its `fault-stop` is
    a mistake of the harness.
    """
    windows, spans = history.faults, _spans(history)
    doubt = "" if windows else "no fault was injected"
    for window in windows:
        if not window.acted:
            doubt = f"{window.fault} was never seen to act"
        elif window.stop is None:
            doubt = f"{window.fault} never healed: a mistake of the harness"
        elif not any(_met(window, begin, end) for begin, end in spans):
            doubt = f"{window.fault} met no operation in flight"
    return judged(promise, doubt=doubt, why=f"{len(windows)} faults acted")


def _spans(history: History) -> list[tuple[int, int]]:
    spans = []
    for op in history.ops.values():
        if op.invoke:
            done = finished(op) if op.works else None
            ends = [event.at for event in (done, *op.outcomes) if event]
            # An acknowledged operation without effect is in flight to the end.
            lasting = not ends or (op.accepted is not None and done is None and not any(map(is_over, op.events)))
            spans.append((op.invoke.at, history.end if lasting else max(ends)))
    return spans


def _met(window: Window, begin: int, end: int) -> bool:
    stop = window.stop.at if window.stop else end
    return begin <= stop and end >= window.start.at
