"""The witness of a fault map's cell: lines of text, in order of time, that show what the network proxy, the client and
the processes recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from brownout.history.event import Event
from brownout.history.life import OPERATION, Life
from brownout.history.secrets import shown
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
    told = [line for line in sorted(found) if line[0] >= begin]
    texts = [_folded([*same], life.sent) for _, same in groupby(told, key=itemgetter(1, 2))]
    return (*texts, *(f"at the end  {text}" for text in _left(history, life)))


def _folded(same: Sequence[tuple[int, str, str]], zero: int) -> str:
    """One line for events that follow each other and say the same."""
    at, who, what = same[0]
    times = f" ({len(same)} times, until {(same[-1][0] - zero) / 1e9:+.3f} s)" if len(same) > 1 else ""
    return f"{(at - zero) / 1e9:+.3f} s  {who:15} {what}{times}"


def _left(history: History, life: Life) -> Iterator[str]:
    """Where the operation's tasks are at the end: in the application's store, and in the broker."""
    own = {*life.tasks, *life.published}
    for row in history.kind("row"):
        if row.task in own:
            fields = ", ".join(f"{name} {value}" for name, value in shown(row.data).items() if value is not None)
            yield f"{'store':15} {fields}"
    if life.effects or history.sample is None or "by_task" not in history.sample.data:
        return
    places = history.sample.data["by_task"]
    where = ", ".join(sorted({str(places[task]) for task in own if task in places}))
    yield f"{'broker':15} the message is in {where or 'no queue, and it is not unacked'}"


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
    if event.kind == "publish" and event.task in (*life.tasks, *life.published):
        return f"publishes to {event.data.get('to')}"
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
