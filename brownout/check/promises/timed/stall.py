"""The API's event loop never stands still, and no exception leaves the API."""

from __future__ import annotations

import re

from brownout.check.interval import ANSWERING, Findings, busy, readable
from brownout.check.registry import checker
from brownout.check.verdict import Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds

#: Innermost frames in which a thread waits for another process: sockets of Python, redis-py, hiredis, psycopg, urllib3.
WAITS = re.compile(r"socket|ssl|selectors|waiting|connection|transport|_parsers|http/client")


def distinct_stalls(history: History) -> list[Event]:
    """Return the last event of every stall, which is a time in which the API's event loop was blocked.

    A long stall is recorded after 1, 2, 4, ... seconds and at its end. When the time span of an event lies within the
    span of a later event of the same process, both events belong to the same stall.
    """
    last: dict[int, int] = {}  # maps the pid of a process to the time (ns) at which its last known stall began
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
    """The API's event loop never stands still for `limit` or longer.

    A stall's lower end leaves out the time in which threads of the process waited for a CPU: the loop's own
    thread, or a thread that the loop may have waited for. A loop that waits for an answer in a socket also waits for
    the processes that answer, so their waits count too. Stalls before the process is ready do not count, because a
    process that is not ready serves no requests.
    """
    most = round(seconds(limit) * 1000, 3)  # in milliseconds, the unit in the data of a stall event
    watched = [event for event in history.kind("ready", source="api") if event.data.get("watch", True)]
    ready = {event.pid: event.at for event in reversed(watched)}
    findings, longest = Findings(), 0.0
    for stall in distinct_stalls(history):
        if stall.at < ready.get(stall.pid, stall.at):
            continue
        lasted = stall.data["ms"]
        longest = max(longest, lasted)
        if lasted >= most:
            begin = int(stall.at - lasted * 1e6)
            inner = str((stall.data.get("stack") or [""])[-1])
            concerned = (stall.source, *ANSWERING) if WAITS.search(inner) else (stall.source,)
            others = busy(history, begin, stall.at, concerned) / 1e6
            waited = min(lasted, max(stall.data.get("starved_ms", 0), others))
            on = stall.data.get("own") or (stall.data.get("stack") or ["an unknown place"])[-1]
            still = f"stood still for {readable(lasted / 1000, most / 1000)} (limit {readable(most / 1000)})"
            sentence = f"The event loop of {stall.source} {still}, in {on}."
            meanwhile = [invoke for invoke in history.kind("invoke") if begin <= invoke.at <= stall.at][:1]
            proved = witness(*watched[:1], stall, *meanwhile, history=history)
            unsure = 0 if lasted - waited >= most else int(waited * 1e6)
            findings.add(Anomaly("stalled", sentence, witness=proved), unsure)
    doubt = "" if watched else "the event loop was not watched"
    return findings.ruling(doubt=doubt, why=f"the longest stall took {readable(longest / 1000)}")


def _path(invoke: Event) -> str:
    return str(invoke.data.get("path")).replace("{key}", invoke.key or "")


@checker(anomalies=("unhandled",))
def nothing_raised(history: History) -> Ruling:
    """No exception leaves the API application, neither from a handler nor from a background task."""
    anomalies = []
    for event in history.kind("raised"):
        path = str(event.data.get("path"))
        before = [invoke for invoke in history.kind("invoke") if invoke.at <= event.at and _path(invoke) == path]
        key = before[-1].key if before else history.key_of.get(path.rpartition("/")[2])  # a path of a status
        op = history.ops.get(key or "")
        sentence = f"{event.data.get('path')} raised {event.data.get('error')}, and no code handled it."
        proved = witness(event, *before[-1:], about=op, history=history)
        anomalies.append(Anomaly("unhandled", sentence, witness=proved))
    doubt = "" if history.kind("ready", source="api") else "the API was not watched"
    return Ruling(anomalies, doubt=doubt)
