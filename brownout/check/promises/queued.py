"""No task waits in the queue for too long."""

from __future__ import annotations

from brownout.check.interval import Findings, over, readable
from brownout.check.registry import checker
from brownout.check.verdict import NS, Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.layout import UNACKED
from brownout.history.operation import Operation
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds


@checker(anomalies=("overdue",), timed=("overdue",))
def queued_within(history: History, limit: Duration) -> Ruling:
    """No task waits in the queue for longer than `limit`.

    The time counts from the acceptance of the task until a worker receives the task for the first time. A task that no
    worker receives is judged only while the last sample of the broker shows its message in a queue; `at_least_once`
    judges a task whose message is nowhere.
    """
    findings, waits = Findings(), list[int]()
    for op in history.ops.values():
        accepted = op.accepted
        left = _left(op, history.sample) if accepted else None
        if accepted is None or left is None:
            continue
        waits.append(max(0, left.at - accepted.at))
        sources = (left.source, "broker", "wire", "harness")
        busy = over(history, accepted.at, left.at, seconds(limit) * NS, sources)
        if busy is not None:
            took = readable(waits[-1] / NS, seconds(limit))
            still = "still waited in the queue after" if left is history.sample else "waited in the queue for"
            sentence = f"Operation {op.key} {still} {took}; the limit is {readable(seconds(limit))}."
            proved = witness(accepted, left, about=op, history=history)
            findings.add(Anomaly("overdue", sentence, op.key, op.tasks[0] if op.tasks else None, proved), busy)
    why = f"{len(waits)} tasks waited, at most {readable(max(waits, default=0) / NS)}"
    return findings.ruling(doubt="" if waits else "no task was seen in a queue or on a worker", why=why)


def _left(op: Operation, sample: Event | None) -> Event | None:
    """The event until which the operation's task is known to have waited: its first delivery, or the last sample."""
    delivered = op.of("received", "started")
    places = sample.data.get("by_task", {}) if sample else {}
    waits = any(places.get(task, UNACKED) != UNACKED for task in op.tasks)
    return delivered[0] if delivered else sample if waits else None
