"""Where is each accepted task now? Queued, unacked, running or ended; a task that is nowhere is lost at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from brownout.history.event import Event
from brownout.history.operation import FAILURE, SUCCESS, Operation, state_of
from brownout.history.view import History

NS = 1_000_000_000
SURE = 1.0  # s beyond the application's own time to bring a job back
Place = Literal["queued", "unacked", "running", "ended", "nowhere", "unseen"]


def is_over(event: Event) -> bool:
    """Whether a worker's event is the task's end for good; a retry ends a body, not the task."""
    return event.kind in ("failed", "revoked") or (event.kind == "ended" and state_of(event) in SUCCESS | FAILURE)


def looks(history: History) -> list[Event]:
    """The last two looks into the broker that list every task; fewer when there were not two."""
    return [sample for sample in history.kind("sample") if "by_task" in sample.data][-2:]


def place(history: History, op: Operation, samples: Sequence[Event] | None = None) -> Place:
    """Where an accepted operation's tasks are, the most hopeful place of all of them.

    "nowhere" takes two looks in a row without any sign of life from the first look on: between BRPOP's reply and its
    ZADD a message is in no list for a moment. "unseen" is an operation too young for that, or without a task id.
    """
    samples = looks(history) if samples is None else samples
    if op.effects or any(map(is_over, op.events)):
        return "ended"
    if running(history, op):
        return "running"
    if len(samples) < 2 or not op.tasks or op.events[-1].at > samples[0].at:
        return "unseen"
    places: Collection[str] = {sample.data["by_task"].get(task, "") for sample in samples for task in op.tasks}
    return "unacked" if "unacked" in places else "queued" if any(places) else "nowhere"


def running(history: History, op: Operation) -> bool:
    """Whether a worker took it, has not finished it, and was not replaced or seen to exit since."""
    own = op.of("received", "started", "ended", "retry", "rejected")
    if not own or own[-1].kind not in ("received", "started"):
        return False
    return history.changed.get(own[-1].source, -1) < own[-1].at


def gone(history: History, op: Operation, end: Event) -> bool:
    """Whether an accepted operation has been nowhere for longer than the application takes to bring a job back.

    `end` is the end of a drain that may have left other work behind: another message in `unacked` proves nothing here.
    """
    if "recovery" not in end.data or not op.tasks or running(history, op) or any(map(is_over, op.events)):
        return False
    # The time in which the processes may have waited for a CPU does not count; the drain tells it.
    patience = end.data["recovery"] + SURE + end.data.get("busy", 0.0)
    since = end.at - int(patience * NS)
    moved = max(event.at for event in op.events if event.kind not in ("read", "unread"))
    samples = [sample for sample in history.kind("sample") if since <= sample.at <= end.at and "by_task" in sample.data]
    found = any(task in sample.data["by_task"] for sample in samples for task in op.tasks)
    return moved < since and len(samples) >= 2 and not found


def lost(history: History) -> list[Operation]:
    """Accepted operations that are nowhere: a drain need not wait for them.

    True only where nobody keeps a copy outside the broker: a relay may publish such a task again.
    """
    samples = looks(history)
    accepted = (op for op in history.ops.values() if op.accepted)
    return [op for op in accepted if place(history, op, samples) == "nowhere"]
