"""Draws the events of the example job, a line for each event, beside the faults that were active meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from brownout.check.interval import readable
from brownout.history.event import Event
from brownout.history.view import History, Window
from brownout.report.clean import clean
from brownout.report.facts.account import Step
from brownout.report.facts.order import natural
from brownout.report.text.clock import length, since
from brownout.report.text.lanes import ended_with

BARS = 3  # at most this many faults are drawn; further faults are only counted
SLOW = 100_000_000  # ns; a publish that took longer says so
# Fields of an event's data that may be shown. Request bodies, results and arguments are never shown.
_FIELDS = ("status", "state", "error", "retries", "countdown", "code", "queues", "unacked", "left")
_FAULT = {"fault-start": "begins", "fault-acted": "acted", "fault-stop": "healed"}
#: Kinds of event by how much they tell; a lower number is kept before a higher one.
_RANKS = {
    **dict.fromkeys(("effect", "exit"), 1),
    **dict.fromkeys(("invoke", "ok", "fail", "info", "publish", "started", "fault-start"), 2),
    **dict.fromkeys(("failed", "retry", "rejected", "revoked", "raised", "fault-stop"), 3),
    **dict.fromkeys(("ended", "received"), 4),
}
LAST = 5


def timeline(steps: Sequence[Step], history: History, zero: int, room: int) -> Iterator[str]:
    """At most `room` lines: time, a bar for each fault, the process, what happened, and the mark of the cause."""
    if not steps:
        return
    first, last = steps[0].event, steps[-1].event
    windows = [window for window in history.faults if _meets(window, first.at, last.at)][:BARS]
    kept = _fitting(steps, room if len(steps) <= room else room - 1)
    sources = max(len(step.event.source) for step in kept)
    times = max(len(since(step.event.at - zero)) for step in kept)
    for step in kept:
        bars = "".join(_bar(window, step.event) for window in windows)
        mark = f"   ← {clean(step.mark, 80)}" if step.mark else ""
        line = f"{since(step.event.at - zero):>{times}} {bars} {step.event.source:<{sources}}  {said(step)}"
        yield f"{line}{mark}".rstrip()
    if left := len(steps) - len(kept):
        yield f"and {left} more event{'s' * (left > 1)}; all of them are in history.ndjson"


def _fitting(steps: Sequence[Step], room: int) -> list[Step]:
    """At most `room` steps: the marked step, then the kinds of event that tell most, near the marked step first."""
    marked = next((n for n, step in enumerate(steps) if step.mark), 0)

    def rank(n: int) -> tuple[int, int]:
        step = steps[n]
        failed = step.event.kind == "publish" and step.took is None
        return (0 if n == marked else 1 if failed else _RANKS.get(step.event.kind, LAST), abs(n - marked))

    return [steps[n] for n in sorted(sorted(range(len(steps)), key=rank)[:room])]


def said(step: Step) -> str:
    """What happened, in a few words."""
    event = step.event
    if event.kind == "publish":
        to = f" to {clean(event.data['to'], 40)}" if event.data.get("to") else ""
        if step.took is None:
            return f"tries to publish{to}, without success"
        return f"publishes{to}{f', which took {length(step.took)}' if step.took > SLOW else ''}"
    by = f" by {clean(step.by, 20)}" if step.by else ""
    pid = f" in pid {event.pid}" if event.kind == "started" and event.pid else ""
    again = " again (redelivered)" if event.kind == "received" and event.data.get("redelivered") else ""
    return f"{described(event)}{by}{pid}{again}"


def described(event: Event) -> str:
    """The event in a few words, without secrets, request bodies and results."""
    data = event.data
    if event.kind in _FAULT:
        where = f" on {data['target']}" if "target" in data else ""
        how = f": {clean(data['evidence'], 120)}" if data.get("evidence") else ""
        return f"{clean(data.get('fault', 'fault'), 80)}{where} {_FAULT[event.kind]}{how}"
    words = [event.kind]
    if event.kind == "invoke":
        operation = str(data.get("path") or data.get("name") or "").partition("?")[0]
        words += [str(data.get("method") or "submit"), clean(operation, 80)]
    elif event.kind in ("effect", "phase", "note") and data.get("name"):
        words.append(clean(data["name"], 80))
    words += [clean(event.key, 60)] if event.key else []
    words += [f"task {clean(event.task[:8])}"] if event.task and event.task != event.key else []
    words += [f"{name}={_value(data[name])}" for name in _FIELDS if data.get(name) not in (None, "", {}, 0)]
    words += [f"for {readable(data['ms'] / 1000)}"] if data.get("ms") else []
    return " ".join(words)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{clean(name, 40)}:{clean(item, 40)}" for name, item in value.items())
    return clean(value, 120)


def _identity(event: Event) -> tuple[object, ...]:
    return event.at, event.source, event.kind, event.key, event.task, str(event.data.get("id") or "")


def _meets(window: Window, begin: int, end: int) -> bool:
    return window.start.at <= end and (window.stop is None or window.stop.at >= begin)


def _bar(window: Window, event: Event) -> str:
    same = _identity(event)
    if same == _identity(window.start):
        return "┬"
    if window.stop and same == _identity(window.stop):
        return "┴"
    if any(same == _identity(acted) for acted in window.acted):
        return "┿"
    return "│" if window.start.at <= event.at and (window.stop is None or event.at <= window.stop.at) else " "


# --- processes that ended by themselves


def ends(history: History) -> Iterator[str]:
    """One line for each process and exit code, in the order of the names.

    A process that a fault ended is left out, and so is a process with an exit code in `Application.steps_down`.
    """
    exits = [event for event in history.kind("exit") if not (event.data.get("struck") or event.data.get("orderly"))]
    for (source, code), events in groupby(sorted(exits, key=_ordered), key=_ending):
        times = len(list(events))
        how = f"{'with' if code >= 0 else 'by'} {ended_with(code)}, and no fault ended it"
        yield f"{source} ended {f'{times} times ' if times > 1 else ''}{how}"


def _ending(event: Event) -> tuple[str, int]:
    return event.source, event.data.get("code", 0)


def _ordered(event: Event) -> tuple[object, int]:
    return natural(event.source), event.data.get("code", 0)
