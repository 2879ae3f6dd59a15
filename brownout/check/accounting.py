"""Finds where an accepted task is: queued, unacked, running, ended or nowhere. A task that is nowhere is lost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from brownout.history.event import Event
from brownout.history.operation import FAILURE, SUCCESS, Operation, state_of
from brownout.history.view import History

NS = 1_000_000_000
MARGIN = 1.0  # seconds that are added to the time that the application needs to publish a job again
Place = Literal["queued", "unacked", "running", "ended", "nowhere", "unseen"]


def is_over(event: Event) -> bool:
    """Whether this event of a worker means that the task will not run again. A retry ends one run of the task's body,
    but not the task."""
    return event.kind in ("failed", "revoked") or (event.kind == "ended" and state_of(event) in SUCCESS | FAILURE)


def last_samples(history: History) -> list[Event]:
    """The last two samples of the broker that list every task; fewer when the history has fewer."""
    return [sample for sample in history.kind("sample") if "by_task" in sample.data][-2:]


def place(history: History, op: Operation, samples: Sequence[Event] | None = None) -> Place:
    """Return the place of an accepted operation's tasks; if there are several places, the one from which the tasks most
    likely get done.

    A task is "nowhere" when two samples of the broker in a row, and all events since the first sample, show no sign of
    the task, because a message is in no list for a moment between BRPOP's reply and the ZADD. A task is "unseen" when
    its operation is too young for two such samples, or has no task id.
    """
    samples = last_samples(history) if samples is None else samples
    if op.effects or any(map(is_over, op.events)):
        return "ended"
    if running(history, op):
        return "running"
    if len(samples) < 2 or not op.tasks or op.events[-1].at > samples[0].at:
        return "unseen"
    places: Collection[str] = {sample.data["by_task"].get(task, "") for sample in samples for task in op.tasks}
    return "unacked" if "unacked" in places else "queued" if any(places) else "nowhere"


def running(history: History, op: Operation) -> bool:
    """Whether a worker took the operation, has not finished it, and has neither exited nor been replaced since."""
    own = op.of("received", "started", "ended", "retry", "rejected")
    if not own or own[-1].kind not in ("received", "started"):
        return False
    return history.changed.get(own[-1].source, -1) < own[-1].at


def gone(history: History, op: Operation, end: Event) -> bool:
    """Whether an accepted operation has been nowhere for longer than the application needs to publish a job again.

    `end` is the event that ends the drain, which is the wait at the end of a trial. When the drain ends, the broker may
    still have messages of other operations.
    """
    if "recovery" not in end.data or not op.tasks or running(history, op) or any(map(is_over, op.events)):
        return False
    # The time in which the processes may have waited for a CPU (`busy`) does not count.
    patience = end.data["recovery"] + MARGIN + end.data.get("busy", 0.0)
    since = end.at - int(patience * NS)
    last_sign = max(event.at for event in op.events if event.kind not in ("read", "unread"))
    samples = [sample for sample in history.kind("sample") if since <= sample.at <= end.at and "by_task" in sample.data]
    seen = any(task in sample.data["by_task"] for sample in samples for task in op.tasks)
    return last_sign < since and len(samples) >= 2 and not seen


def lost(history: History) -> list[Operation]:
    """Return the accepted operations whose message is nowhere: the wait at the end of a trial (the drain) need not wait
    for them.

    Do not call `lost` when the application has a relay, a process that keeps tasks outside the broker: a relay may
    publish a lost task again.
    """
    samples = last_samples(history)
    accepted = (op for op in history.ops.values() if op.accepted)
    return [op for op in accepted if place(history, op, samples) == "nowhere"]
