"""The API's event loop never stands still, and nothing escapes from its handlers."""

from __future__ import annotations

from brownout.check.interval import Findings, busy
from brownout.check.registry import checker
from brownout.check.verdict import Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds


def whole(history: History) -> list[Event]:
    """Each stall of the API's loop once.

    A stall that lasts is told after 1, 2, 4, ... seconds and at its end. A report that lies in the span of a later
    one of the same process is of the same stall.
    """
    last: dict[int, int] = {}  # pid: begin (ns) of the stall that was seen last
    stalls: list[Event] = []
    for event in reversed(history.kind("stall", "starved")):
        begin = int(event.at - event.data["ms"] * 1e6)
        if event.at > last.get(event.pid, event.at + 1) and event.data.get("ongoing"):
            continue
        last[event.pid] = begin
        stalls.append(event)
    return stalls[::-1]


@checker(anomalies=("stalled",), timed=("stalled",))
def loop_never_stalls(history: History, limit: Duration = "100ms") -> Ruling:
    """The API's event loop never stands still for so long.

    The lower end of a stall is without the time in which threads of the process waited for a CPU: the loop's own,
    or one for which it may have waited. What a process does before it says that it is ready does not count: it
    serves nobody yet.
    """
    most = round(seconds(limit) * 1000, 3)  # ms
    watched = [event for event in history.kind("ready", source="api") if event.data.get("watch", True)]
    ready = {event.pid: event.at for event in reversed(watched)}
    found, longest = Findings(), 0.0
    for stall in whole(history):
        if stall.at < ready.get(stall.pid, stall.at):
            continue
        lasted = stall.data["ms"]
        longest = max(longest, lasted)
        if lasted >= most:
            begin = int(stall.at - lasted * 1e6)
            others = busy(history, begin, stall.at, (stall.source,)) / 1e6
            waited = min(lasted, max(stall.data.get("starved_ms", 0), others))
            on = stall.data.get("own") or (stall.data.get("stack") or ["an unknown place"])[-1]
            sentence = f"The event loop of {stall.source} stood still for {lasted:g} ms, in {on}."
            meanwhile = [e for e in history.kind("invoke") if stall.at - lasted * 1e6 <= e.at <= stall.at][:1]
            proved = witness(*watched[:1], stall, *meanwhile, history=history)
            found.add(Anomaly("stalled", sentence, witness=proved), 0 if lasted - waited >= most else int(waited * 1e6))
    doubt = "" if watched else "the event loop was not watched"
    return found.ruling(doubt=doubt, why=f"longest stall {longest:g} ms")


def _path(invoke: Event) -> str:
    return str(invoke.data.get("path")).replace("{key}", invoke.key or "")


@checker(anomalies=("unhandled",))
def nothing_raised(history: History) -> Ruling:
    """No exception leaves the API application.

    It may come from a handler or from a background task.
    """
    anomalies = []
    for event in history.kind("raised"):
        path = str(event.data.get("path"))
        before = [e for e in history.kind("invoke") if e.at <= event.at and _path(e) == path]
        key = before[-1].key if before else history.key_of.get(path.rpartition("/")[2])  # a status ends in a task id
        op = history.ops.get(key or "")
        sentence = f"{event.data.get('path')} raised {event.data.get('error')} and nobody handled it."
        proved = witness(event, *before[-1:], about=op, history=history)
        anomalies.append(Anomaly("unhandled", sentence, witness=proved))
    doubt = "" if history.kind("ready", source="api") else "the API was not watched"
    return Ruling(anomalies, doubt=doubt)
