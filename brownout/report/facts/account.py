"""The events of one job, from the request to the last status: every delivery with its worker and its process."""

from __future__ import annotations

from dataclasses import dataclass

from brownout.check.verdict import Anomaly
from brownout.history.event import Event
from brownout.history.operation import state_of
from brownout.history.view import History
from brownout.report.facts.case import Cause
from brownout.report.facts.whereabouts import Publish, doer, events_of, publishes

#: Kinds of event that tell about a job.
_KEPT = frozenset({
    *("invoke", "ok", "fail", "info", "read", "unread", "left", "accepted", "withdrawn", "publish", "published"),
    *("received", "started", "ended", "failed", "retry", "rejected", "revoked", "unknown", "effect", "raised"),
    *("stall", "exit"),
})  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One event of the job. `by` is the process that did it, where the event itself does not say.

    `mark` is not empty for the event that is the cause. For an attempt to publish, `took` (ns) is how long the broker
    needed to take the message; None when the process had no success.
    """

    event: Event
    by: str = ""
    mark: str = ""
    took: int | None = None


def account(history: History, anomaly: Anomaly, cause: Cause) -> tuple[Step, ...]:
    """The events of the job, the faults that were active meanwhile, and the cause, in order of time."""
    own = [event for event in events_of(history, anomaly.key, anomaly.task) if event.kind in _KEPT]
    proof = [event for event in anomaly.witness if event.kind != "ready" and event.source not in ("nemesis", "run")]
    own = _told_once(own or proof)
    times = {one.at: one for one in publishes(own)}
    events = {id(event): event for event in own if event.kind != "published"}
    marked = cause.event
    if marked is not None:
        # A stored trial holds the event twice: in its history, and in the witness of the anomaly.
        marked = next((event for event in events.values() if event == marked), marked)
        events[id(marked)] = marked
    first = min((event.at for event in own), default=0)
    last = max((event.at for event in events.values()), default=0)
    for window in history.faults:
        for event in (window.start, *window.acted[:1], *([window.stop] if window.stop else [])):
            if event.at <= last and (window.stop is None or window.stop.at >= first):
                events[id(event)] = event
    ordered = sorted(events.values(), key=lambda event: event.at)
    return tuple(
        Step(
            event,
            by=doer(event, ordered) if event.kind == "effect" else "",
            mark=cause.mark if event is marked else "",
            took=_took(times.get(event.at)) if event.kind == "publish" else None,
        )
        for event in ordered
    )


def _took(publish: Publish | None) -> int | None:
    return None if publish is None or publish.done is None else publish.done - publish.at


def _told_once(events: list[Event]) -> list[Event]:
    """The events without reads that tell the same status as the read before."""
    told, kept = "", []
    for event in events:
        if event.kind == "read":
            if state_of(event) == told:
                continue
            told = state_of(event)
        kept.append(event)
    return kept
