"""The longest wait in the life of a job, and what the job waited for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from brownout.check.interval import readable
from brownout.history.event import Event
from brownout.report.facts.case import NS, Case, Cause
from brownout.report.facts.lanes import state
from brownout.report.facts.order import natural
from brownout.report.facts.whereabouts import TAKEN, is_unacked

MOSTLY = 0.8  # share of the samples that must show a message in a queue to say that it waited there
_STEPS = frozenset({"invoke", "ok", "accepted", "publish", "published", *TAKEN, "retry", "ended", "failed", "effect"})
_ACCEPTED = frozenset({"invoke", "ok", "accepted"})
_PUBLISHED = _ACCEPTED | {"published"}


def waited(case: Case) -> Cause | None:
    """The longest wait of a job between its steps, up to its effect or to the end; None for a job without steps."""
    steps = _steps(case.events)
    spans: list[tuple[Event, Event | None]] = [*pairwise(steps)]
    spans += [(steps[-1], None)] if steps and steps[-1].kind != "effect" else []
    if not spans:
        return None
    begin, end = max(spans, key=lambda span: (span[1].at if span[1] else case.where.at) - span[0].at)
    until = end.at if end else case.where.at
    if begin.kind in _PUBLISHED and (cause := _unconsumed(case, begin.at, until)):
        return cause
    if begin.kind in TAKEN and (cause := _redelivered(case, begin, until)):
        return cause
    publishing = [event for event in case.events if event.kind == "publish" and event.at <= begin.at]
    marked = publishing[-1] if begin.kind == "published" and publishing else begin
    return Cause(marked, _why(case, begin, end, until), f"then nothing for {readable((until - begin.at) / NS)}")


def _steps(events: Sequence[Event]) -> list[Event]:
    """The steps of a job up to its first effect, without publishing it again while its message waits in a queue."""
    steps: list[Event] = []
    queued = False
    for event in events:
        if event.kind not in _STEPS or (queued and event.kind in ("publish", "published")):
            continue
        queued = event.kind == "published" or (queued and event.kind not in (*TAKEN, "retry"))
        steps.append(event)
        if event.kind == "effect":
            break
    return steps


def _redelivered(case: Case, taken: Event, until: int) -> Cause | None:
    """Says that the worker that had the job died, and that the job came back late; None when the worker lived on."""
    died = case.died(taken.source, taken.at)
    if died is None or died.at > until:
        return None
    timeout = "" if case.where.returns is None else f" (visibility_timeout is {readable(case.where.returns)})"
    how = "was ended by a fault" if died.data.get("struck") else "ended by itself"
    lasted = readable((until - died.at) / NS)
    sentence = f"{taken.source} {how} while it had {case.name}, and {case.name} came back {lasted} later{timeout}"
    return Cause(case.struck(taken.source, died), sentence, f"then nothing for {lasted}")


def _why(case: Case, begin: Event, end: Event | None, until: int) -> str:
    lasted, job = readable((until - begin.at) / NS), case.name
    if begin.kind == "retry":
        return f"{job} waited {lasted} for its next attempt"
    if begin.kind == "publish":
        return _publishing(case, lasted, begin, end)
    if begin.kind in _ACCEPTED and case.where.publishes is not None and (end is None or end.kind == "publish"):
        return f"for {lasted} no process published {job}"
    if begin.kind == "started" and (end is None or end.source in (begin.source, "effects")):
        frozen = state(case.lanes, begin.source, begin.at + (until - begin.at) // 2) == "frozen"
        return f"the work on {job} took {lasted} on {begin.source}{', which was frozen' if frozen else ''}"
    if begin.kind in TAKEN:
        if end and end.source == begin.source and end.kind == "started":
            return f"{job} waited {lasted} in {begin.source}, which had other work"
        return f"{begin.source} received {job} and did not finish it; nothing happened for {lasted}"
    seen = _seen(case, begin.at, until)
    if seen is None:
        return f"{job} waited {lasted} for a worker"
    if not seen or seen[0][0] - begin.at > (until - begin.at) // 2:
        absent = readable(((seen[0][0] if seen else until) - begin.at) / NS)
        return f"for {absent} the message of {job} was in no queue"
    others = sum(begin.at < event.at < until for event in case.history.kind("received"))
    meanwhile = f" while workers received {others} other messages" if others else ""
    return f"the message of {job} waited {lasted} {_in(seen)}{meanwhile}"


def _samples(case: Case, begin: int, until: int) -> list[Event]:
    """The samples in a span of time that list every task."""
    return [sample for sample in case.history.kind("sample") if begin < sample.at < until and "by_task" in sample.data]


def _seen(case: Case, begin: int, until: int) -> list[tuple[int, str]] | None:
    """When and where samples saw the job's message; None when no sample tells."""
    tasks = {event.task for event in case.events if event.task}
    samples = _samples(case, begin, until)
    if not samples:
        return None
    return [(sample.at, place) for sample in samples for task, place in sample.data["by_task"].items() if task in tasks]


def _in(seen: Sequence[tuple[int, str]]) -> str:
    places = sorted({place for _, place in seen})
    return " and ".join("unacked" if is_unacked(place) else f"in queue {place}" for place in places)


def _unconsumed(case: Case, begin: int, until: int) -> Cause | None:
    """Says that workers received nothing while the message lay in a queue; None when the samples do not show that."""
    received = case.history.kind("received")
    span = [begin, *(event.at for event in received if begin < event.at < until), until]
    since, back = max(pairwise(span), key=lambda span: span[1] - span[0])
    names = sorted({event.source for event in case.history.kind("ready", source="worker")}, key=natural)
    seen = [(at, place) for at, place in _seen(case, since, back) or () if not is_unacked(place)]
    often = len(seen) >= MOSTLY * len(_samples(case, since, back))
    if not seen or not often or not names or back - since < max(NS, (until - begin) // 3):
        return None
    states = {name: state(case.lanes, name, since + (back - since) // 2) for name in names}
    who = names[0] if len(names) == 1 else "all workers"
    lasted = readable((until - begin) / NS)
    told = ", ".join(f"{name} was {word}" for name, word in states.items())
    sentence = f"{who} stopped consuming: the message of {case.name} waited {lasted} {_in(seen)}, and {told}"
    last = next((event for event in reversed(received) if event.at <= since), None)
    struck = [event for event in case.history.kind("fault-acted") if event.at <= back and "frozen" in states.values()]
    event = struck[-1] if struck else last
    return Cause(event, sentence, f"then no worker received anything for {readable((back - since) / NS)}")


def _publishing(case: Case, lasted: str, begin: Event, end: Event | None) -> str:
    if end is not None and end.kind == "published" and end.source == begin.source:
        return f"{begin.source} needed {lasted} to publish {case.name}"
    failed = dict.fromkeys(one.source for one in case.where.publishes or () if one.done is None and one.at <= begin.at)
    who = [*failed] or [begin.source]
    could = f"{who[0]} could not publish" if len(who) == 1 else f"neither {' nor '.join(who)} could publish"
    if end is not None and end.kind == "publish":
        return f"{could} {case.name}; {end.source} tried again only {lasted} later"
    return f"{could} {case.name}, and no process tried again for {lasted}"
