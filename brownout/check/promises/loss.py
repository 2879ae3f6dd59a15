"""Nothing that was accepted is lost."""

from __future__ import annotations

from typing import Literal

from brownout.check.accounting import gone, is_over, looks, place
from brownout.check.interval import NS_PER_MS, Findings, over
from brownout.check.promises.drain import cut_short
from brownout.check.registry import checker
from brownout.check.verdict import NS, Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.operation import FAILURE, Operation, state_of
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds, text

UNDONE = ("lost", "misrouted", "late", "failed", "revoked")
MISPLACED = 'tasks succeeded and no effect was ever recorded: promise proof="ended"?'


def finished(op: Operation, proof: str = "effect", or_failure: bool = True) -> Event | None:
    """The event that settles an operation: its effect, or (`proof` "ended") the end of its body.

    With `or_failure`, a FAILURE or REVOKED that a client read settles it too; one that nobody read does not.
    """
    for event in op.events:
        if event.kind == "read" and state_of(event) in FAILURE:
            if or_failure:
                return event
        elif event.kind == "effect" if proof == "effect" else is_over(event) and not is_failure(event):
            return event
    return None


def is_failure(event: Event) -> bool:
    """Whether a worker tells that a task has failed, or was revoked or had expired before it began."""
    return event.kind in ("failed", "revoked") or (event.kind == "ended" and state_of(event) in FAILURE)


def _failure(op: Operation) -> Event | None:
    """What a worker told last of a task that failed: the event with the exception, where there is one."""
    told = [event for event in op.events if is_failure(event)]
    return next((event for event in reversed(told) if event.kind != "ended"), told[-1] if told else None)


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
    """Nothing acknowledged is lost. `proof` "ended" is for tasks that record no effect.

    For each acknowledged operation there is an effect, or with `or_failure` a FAILURE that its client can read.
    `within` counts from the acknowledgement or the end of the last fault, whichever is later; with `during` from
    the acknowledgement alone, for faults that must not hold anything up. With `accounting`, a task that is in no
    queue, unacked nowhere and running on no worker is lost at once, without a drain; only where no relay publishes
    again.

    What the application's own store has accepted counts as acknowledged, whether or not its client got an answer,
    unless it is gone from the store when everything is over.

    A task that failed, was revoked or had expired, and no client read so, is an anomaly of its own. Where nothing
    took effect at all, nothing is shown. A message that lies in a queue which no worker reads is "misrouted", not
    lost. A queue obeys this only when the history includes its draining: what is neither done nor drained is
    unknown. An `info` operation obliges to nothing.
    """
    limit = None if within is None else seconds(within)
    accepted = [op for op in history.ops.values() if op.accepted]
    samples, end = looks(history), history.drained
    complete = end is not None and bool(end.data.get("ok"))
    found, open_, longest, unsure = Findings(), 0, 0, list[str]()
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
            found.add(_failed(op, failure, witness(failure, end, about=op, history=history)))
        elif done is None and end is not None and (queue := _unread(history, op)):
            proved = witness(*history.readers[-1:], *samples[-1:], end, about=op, history=history)
            found.add(_misrouted(op, history.place(queue), proved))
        elif done is None and complete:
            proved = witness(*samples[-1:], end, about=op, history=history)
            found.add(_lost(op, "everything was drained and it was never done", proved))
        elif done is None and end is not None and gone(history, op, end):
            proved = witness(*samples[-1:], end, about=op, history=history)
            how = f"it has been in no queue, not unacked and on no worker for more than {text(end.data['recovery'])}"
            found.add(_lost(op, how, proved))
        elif done is None and accounting and place(history, op, samples) == "nowhere":
            proved = witness(*samples, about=op, history=history)
            found.add(_lost(op, "it is in no queue, not unacked and on no worker", proved))
        elif limit is not None and busy is not None:
            took = text(round((until - begin) / NS, 3))
            what = f"was done {took} after" if done else f"was still not done {took} after"
            since = (
                "the last fault had healed" if healed else "its acknowledgement" if ok.kind == "ok" else "its record"
            )
            sentence = f"Operation {op.key} {what} {since}; the limit is {text(limit)}."
            proved = witness(op.invoke, ok, *healed, done or history.events[-1])
            found.add(Anomaly("late", sentence, op.key, ok.task, proved), busy)
        else:
            open_ += done is None
            longest = max(longest, until - begin if done else 0)
    doubt = "no operation was acknowledged" if not accepted else ""
    if accepted and not any(finished(op, proof, False) for op in accepted):
        doubt = "nothing took effect in this trial, so it shows nothing"
    if open_:
        doubt = f"{open_} acknowledged operations were not done, and the drain did not end"
        doubt += f": {history.blind}" if history.blind else ""
    elif unsure:
        doubt = f"nobody knows of {len(unsure)} operations whether they are lost: {unsure[0]}"
    anomalies = [*found.sure, *(each.anomaly for each in found.doubts)]
    if accepted and proof == "effect" and len(anomalies) == len(accepted) and misplaced(history, accepted):
        return Ruling(doubt=MISPLACED)
    why = f"{len(accepted)} acknowledged, the longest took {text(round(longest / NS, 3))}"
    if open_ and not found.sure and (lacked := cut_short(history)):
        return Ruling(doubt=f"{doubt}: the machine was busy", busy_ms=lacked / NS_PER_MS)
    return found.ruling(doubt=doubt, why=why)


def _unsure(history: History, op: Operation, ok: Event, end: Event) -> str:
    """Why nothing is known of an operation that was not done, whatever the drain says; empty when something is."""
    if ok.at > end.at:
        return "they were accepted after the drain"
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
    return Anomaly(kind, f"Operation {op.key} was {_taken(op)} and {how}; no client was told.", op.key, task, proved)


def _lost(op: Operation, how: str, proved: tuple[Event, ...]) -> Anomaly:
    task = op.tasks[0] if op.tasks else None
    return Anomaly("lost", f"Operation {op.key} was {_taken(op)} and is lost: {how}.", op.key, task, proved)


def _taken(op: Operation) -> str:
    told = op.accepted is None or op.accepted.kind == "ok"
    return "acknowledged" if told else "accepted by the application's own store"


def _unread(history: History, op: Operation) -> str | None:
    """The queue in which one of its messages lies at the end, and which no worker reads."""
    places = history.sample.data.get("by_task", {}) if history.sample else {}
    return next((places[task] for task in op.tasks if task in places and history.unread(places[task])), None)


def _misrouted(op: Operation, where: str, proved: tuple[Event, ...]) -> Anomaly:
    task = op.tasks[0] if op.tasks else None
    return Anomaly("misrouted", f"Operation {op.key} was {_taken(op)} and lies in {where}.", op.key, task, proved)


def misplaced(history: History, accepted: list[Operation]) -> bool:
    """Whether tasks succeeded of an application that records no effects."""
    return not history.by_kind.get("effect") and any(finished(op, "ended", False) for op in accepted)
