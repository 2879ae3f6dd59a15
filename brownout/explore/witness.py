"""The witness of a fault map's cell: lines of text, in order of time, that show what the network proxy, the client and
the processes recorded."""

from __future__ import annotations

from collections.abc import Callable

from brownout.history.event import Event
from brownout.history.life import OPERATION, Life
from brownout.history.view import History
from brownout.plan.point import Point
from brownout.run.trace import Trace

STALL = 250.0  # milliseconds; the witness leaves out times in which an event loop was blocked for less than this
BEFORE = 10**9  # nanoseconds; the witness begins this long before the operation was submitted
TOLD = {"ok": "accepted", "fail": "refused", "info": "unanswered"}


def lines(history: History, life: Life, trace: Trace, name: Callable[[str], str]) -> tuple[str, ...]:
    """Return the lines of the witness in order; the function `name` returns the name that the map uses for a network
    edge or a process."""
    found = [(seen.at, name(seen.edge), seen.what) for seen in trace.seen]
    found += [(event.at, name(_where(event)), what) for event in history if (what := _what(event, life))]
    begin = life.sent - BEFORE
    return tuple(f"{(at - life.sent) / 1e9:+.3f} s  {who:15} {what}" for at, who, what in sorted(found) if at >= begin)


def _where(event: Event) -> str:
    """Return the process that recorded the event, or the edge ("worker->broker") on which a fault struck."""
    if event.kind == "fault-start" and "point" in event.data:
        return Point.parse(event.data["point"]).edge
    return event.source


def _what(event: Event, life: Life) -> str:
    if event.source == "client":
        return _client(event) if event.key == OPERATION else ""
    if event.task in life.others:
        return ""
    if event.kind in ("started", "effect"):
        return event.kind
    if event.kind in ("ended", "failed", "retry"):
        return f"{event.kind} {event.data.get('state') or ''}".rstrip()
    if event.kind == "exit" and event in life.exits:
        return f"exited by itself with code {event.data['code']}"
    if event.kind == "fault-start" and "point" in event.data:
        return f"{Point.parse(event.data['point']).label}: {event.data['fault']}, {event.data['moment']} it"
    if event.kind == "stall" and event.data.get("ms", 0.0) >= STALL:
        starved = event.data.get("starved_ms", 0.0)
        return f"event loop was blocked for {event.data['ms']:.0f} ms, {starved:.0f} ms of that while waiting for a CPU"
    return ""


def _client(event: Event) -> str:
    if event.kind == "invoke":
        return "submits"
    if event.kind == "read":
        return f"reads {event.data.get('state')}"
    return f"{TOLD.get(event.kind, event.kind)} {event.data.get('error') or ''}".rstrip()
