"""Draws the events that prove an anomaly, a line for each event, beside the faults that were active at that time."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import groupby

from brownout.check.verdict import Anomaly
from brownout.history.event import Event
from brownout.history.view import History, Window
from brownout.report.clean import clean

BARS = 3  # at most this many faults are drawn; further faults are only counted
# Fields of an event's data that may be shown. Request bodies, results and arguments are never shown.
_FIELDS = ("status", "state", "error", "retries", "countdown", "code", "ms", "queues", "unacked", "left")
_FAULT = {"fault-start": "begins", "fault-acted": "acted", "fault-stop": "healed"}


def timeline(anomaly: Anomaly, history: History) -> Iterator[str]:
    """A line for each event: time since the first witness, a bar for each fault, the process, and what happened.

    The line of the last event that proves the anomaly ends with the kind of the anomaly.
    """
    if not anomaly.witness:
        return
    first, last = anomaly.witness[0], anomaly.witness[-1]
    windows = [window for window in history.faults if _meets(window, first.at, last.at)]
    drawn = windows[:BARS]
    marks = [event for window in drawn for event in (window.start, *window.acted[:1], window.stop) if event]
    events = {_identity(event): event for event in (*anomaly.witness, *marks)}
    ordered = sorted(events.values(), key=lambda event: event.at)
    sources = max(len(event.source) for event in ordered)
    for event in ordered:
        bars = "".join(_bar(window, event) for window in drawn)
        sign = f"   ← {anomaly.kind}" if event is last else ""
        line = f"    {_since(event.at - first.at):>10} {bars} {event.source:<{sources}}  {described(event)}{sign}"
        yield line.rstrip()
    if len(windows) > BARS:
        yield f"    {len(windows) - BARS} more faults were active meanwhile"


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
    return " ".join(words)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}:{item}" for name, item in value.items())
    return clean(value, 120)


def _since(ns: int) -> str:
    return f"{ns / 1e6:+.0f} ms" if abs(ns) < 10e9 else f"{ns / 1e9:+.1f} s"


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
    for (source, code), events in groupby(sorted(exits, key=_ending), key=_ending):
        times = len(list(events))
        how = f"{_code(code)}, and no fault ended it"
        yield f"{source} ended {f'{times} times ' if times > 1 else ''}{how}"


def _ending(event: Event) -> tuple[str, int]:
    return event.source, event.data.get("code", 0)


def _code(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
