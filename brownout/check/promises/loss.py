"""No accepted operation is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from brownout.check.accounting import gone, is_over, last_samples, place
from brownout.check.interval import NS_PER_MS, Findings, over, readable
from brownout.check.promises.drain import cut_short
from brownout.check.registry import checker
from brownout.check.verdict import NS, Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.operation import FAILURE, Operation, state_of
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds

UNDONE = ("lost", "misrouted", "late", "failed", "revoked")
NO_EFFECTS = 'tasks succeeded, but no effect was recorded: if the tasks record no effects, promise proof="ended"'
GIVE_THE_KEY = 'give the task the key of the operation ("{key}" in its arguments), or promise proof="ended"'


def finished(op: Operation, proof: str = "effect", or_failure: bool = True) -> Event | None:
    """The event by which an operation is finished: its effect or, when `proof` is "ended", the successful end of its
    task.

    If `or_failure` is true, an operation is also finished when a client has read its status FAILURE or REVOKED. A
    failure that no client has read does not count as the end of the operation.
    """
    for event in op.events:
        if event.kind == "read" and state_of(event) in FAILURE:
            if or_failure:
                return event
        elif event.kind == "effect" if proof == "effect" else is_over(event) and not is_failure(event):
            return event
    return None


def is_failure(event: Event) -> bool:
    """Whether a worker's event says that a task failed, was revoked, or had expired before it began."""
    return event.kind in ("failed", "revoked") or (event.kind == "ended" and state_of(event) in FAILURE)


def _failure(op: Operation) -> Event | None:
    """Return the last event in which a worker says that the task failed; an event with the exception is preferred."""
    failures = [event for event in op.events if is_failure(event)]
    return next((event for event in reversed(failures) if event.kind != "ended"), failures[-1] if failures else None)


def _failures(operations: Sequence[Operation]) -> str:
    """Return how many of the operations failed, with the exceptions that workers told; empty when none failed."""
    failed = [failure for op in operations if (failure := _failure(op))]
    if not failed:
        return ""
    kinds = Counter(str(event.data.get("error") or state_of(event)) for event in failed)
    told = ", ".join(f"{count} with {kind}" for kind, count in kinds.most_common(3))
    return f"; {len(failed)} of {len(operations)} operations failed: {told}"


@checker(anomalies=UNDONE, timed=("late",))
def at_least_once(
    history: History,
    *,
    within: Duration | None = None,
    proof: Literal["effect", "ended"] = "effect",
    or_failure: bool = True,
    accounting: bool = False,
    during: bool = False,
) -> Ruling:
    """No acknowledged operation is lost. Set `proof` to "ended" for tasks that record no effect.

    Each acknowledged operation takes effect or, with `or_failure`, ends in a FAILURE that its client can read. The
    limit `within` counts from the acknowledgement or from the end of the last fault, whichever is later. If `during` is
    true, the limit `within` always counts from the acknowledgement: use it for faults that must not delay any work. If
    `accounting` is true, a task counts as lost as soon as it is in no queue, not in `unacked` and on no worker, without
    waiting for the end of the trial; use `accounting` only where no relay publishes tasks again.

    An operation that the application's own store accepted counts as acknowledged, whether or not its client got an
    answer, unless its record is gone from the store at the end. An operation whose outcome its client does not know
    (`info`) need not be done when the application's store does not have it.

    When a task failed, was revoked or had expired, and no client has read that state, this is an anomaly of a separate
    kind. A message in a queue that no worker reads is "misrouted", not lost. The verdict is unknown when nothing at all
    took effect, and when an operation is not done and no drain has ended.
    """
    limit = None if within is None else seconds(within)
    accepted = [op for op in history.ops.values() if op.accepted]
    samples, end = last_samples(history), history.drained
    complete = end is not None and bool(end.data.get("ok"))
    findings, unfinished, longest, unsure = Findings(), 0, 0, list[str]()
    for op in accepted:
        done, ok = finished(op, proof, or_failure), op.accepted
        assert ok is not None
        begin = ok.at if during else max(ok.at, history.healed_at or 0)
        until = done.at if done else history.end
        busy = None if limit is None else over(history, begin, until, limit * NS)
        healed = history.kind("fault-stop")[-1:] if begin > ok.at else []
        if done is None and end is not None and (why := _unsure(history, op, ok, end)):
            unsure.append(why)
        elif done is None and complete and or_failure and (failure := _failure(op)):
            findings.add(_failed(op, failure, witness(failure, end, about=op, history=history)))
        elif done is None and end is not None and (queue := _unread_queue(history, op)):
            proved = witness(*history.readers[-1:], *samples[-1:], end, about=op, history=history)
            findings.add(_misrouted(op, history.place(queue), proved))
        elif done is None and complete:
            proved = witness(*samples[-1:], end, about=op, history=history)
            findings.add(_lost(op, "the queues are empty, and the operation was never done", proved))
        elif done is None and end is not None and gone(history, op, end):
            proved = witness(*samples[-1:], end, about=op, history=history)
            how = f"for more than {readable(end.data['recovery'])} it was in no queue, not in unacked and on no worker"
            findings.add(_lost(op, how, proved))
        elif done is None and accounting and place(history, op, samples) == "nowhere":
            proved = witness(*samples, about=op, history=history)
            findings.add(_lost(op, "it is in no queue, not in unacked and on no worker", proved))
        elif limit is not None and busy is not None:
            took = readable((until - begin) / NS, limit)
            what = f"was done {took} after" if done else f"was still not done {took} after"
            acknowledged = "its acknowledgement" if ok.kind == "ok" else "its record in the store"
            since = "the last fault had healed" if healed else acknowledged
            sentence = f"Operation {op.key} {what} {since}; the limit is {readable(limit)}."
            proved = witness(op.invoke, ok, *healed, done or history.events[-1])
            findings.add(Anomaly("late", sentence, op.key, ok.task, proved), busy)
        else:
            unfinished += done is None
            longest = max(longest, until - begin if done else 0)
    doubt = "no operation was acknowledged" if not accepted else ""
    if accepted and not any(finished(op, proof, False) for op in accepted):
        doubt = f"nothing took effect in this trial, so it shows nothing{_failures(accepted)}"
    if unfinished:
        doubt = f"{unfinished} acknowledged operations were not done, and the drain did not end"
        doubt += f": {history.blind}" if history.blind else ""
    elif unsure:
        doubt = f"{len(unsure)} operations may be lost or not: {unsure[0]}"
    anomalies = [*findings.sure, *(uncertain.anomaly for uncertain in findings.doubts)]
    if proof == "effect" and len(anomalies) == len(accepted) and (why := effects_unknown(history, accepted)):
        return Ruling(doubt=why)
    why = f"{len(accepted)} acknowledged, the longest took {readable(longest / NS)}"
    if unfinished and not findings.sure and (lacked := cut_short(history)):
        return Ruling(doubt=f"{doubt}: the machine was busy", busy_ms=lacked / NS_PER_MS)
    return findings.ruling(doubt=doubt, why=why)


def _unsure(history: History, op: Operation, ok: Event, end: Event) -> str:
    """Return the reason why nobody can know whether an unfinished operation is lost; empty when the end of the trial
    shows whether it is lost."""
    if ok.at > end.at:
        return "the operation was accepted after the drain"
    if ok.kind == "accepted" and history.kind("unreadable"):
        return "the application's own store could not be read again after the drain"
    if op.of("unread") and _failure(op):
        return "the API did not tell the last status of a task that failed"
    return ""


def _failed(op: Operation, failure: Event, proved: tuple[Event, ...]) -> Anomaly:
    kind, how = "failed", f"failed with {failure.data['error']}" if failure.data.get("error") else "failed"
    if failure.kind == "revoked":
        kind, how = "revoked", "had expired before it began" if failure.data.get("expired") else "was revoked"
    task = failure.task or (op.tasks[0] if op.tasks else None)
    sentence = f"Operation {op.key} was {_acceptance(op)} and {how}; no client was told."
    return Anomaly(kind, sentence, op.key, task, proved)


def _lost(op: Operation, how: str, proved: tuple[Event, ...]) -> Anomaly:
    task = op.tasks[0] if op.tasks else None
    return Anomaly("lost", f"Operation {op.key} was {_acceptance(op)} and is lost: {how}.", op.key, task, proved)


def _acceptance(op: Operation) -> str:
    acknowledged = op.accepted is None or op.accepted.kind == "ok"
    return "acknowledged" if acknowledged else "accepted by the application's own store"


def _unread_queue(history: History, op: Operation) -> str | None:
    """Return a queue that no worker reads and that holds a message of the operation at the end, or None if there is no
    such queue."""
    places = history.sample.data.get("by_task", {}) if history.sample else {}
    return next((places[task] for task in op.tasks if task in places and history.unread(places[task])), None)


def _misrouted(op: Operation, where: str, proved: tuple[Event, ...]) -> Anomaly:
    task = op.tasks[0] if op.tasks else None
    return Anomaly(
        "misrouted", f"Operation {op.key} was {_acceptance(op)} and its message lies in {where}.", op.key, task, proved
    )


def effects_unknown(history: History, accepted: list[Operation]) -> str:
    """The reason why the effects show nothing: tasks succeeded, and no operation has an effect. Empty otherwise."""
    if any(op.of("effect") for op in history.ops.values()):
        return ""
    if not any(finished(op, "ended", False) for op in accepted):
        return ""
    effects = history.kind("effect")
    if not effects:
        return NO_EFFECTS
    return f"{len(effects)} effects have keys that no client sent, such as {effects[0].key!r}: {GIVE_THE_KEY}"
