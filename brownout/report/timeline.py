"""The events that prove an anomaly, one line each, with the faults that were on meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from brownout.check.verdict import Anomaly
from brownout.history.event import Event
from brownout.history.view import History, Window
from brownout.report.clean import clean

BARS = 3  # faults that are drawn; the others are counted
# What may be shown of an event's data: never a body, a result or an argument.
_TOLD = ("status", "state", "error", "retries", "countdown", "code", "ms", "queues", "unacked", "left")
_FAULT = {"fault-start": "begins", "fault-acted": "acted", "fault-stop": "healed"}


def timeline(anomaly: Anomaly, history: History) -> Iterator[str]:
    """Time since the first witness, a bar for each fault, the process, and what it did. The last witness is marked."""
    if not anomaly.witness:
        return
    first, last = anomaly.witness[0], anomaly.witness[-1]
    met = [each for each in history.faults if _meets(each, first.at, last.at)]
    drawn = met[:BARS]
    marks = [event for each in drawn for event in (each.start, *each.acted[:1], each.stop) if event]
    events = {_identity(event): event for event in (*anomaly.witness, *marks)}
    ordered = sorted(events.values(), key=lambda event: event.at)
    sources = max(len(event.source) for event in ordered)
    for event in ordered:
        bars = "".join(_bar(each, event) for each in drawn)
        sign = f"   ← {anomaly.kind}" if event is last else ""
        line = f"    {_since(event.at - first.at):>10} {bars} {event.source:<{sources}}  {told(event)}{sign}"
        yield line.rstrip()
    if len(met) > BARS:
        yield f"    and {len(met) - BARS} more faults were on meanwhile"


def told(event: Event) -> str:
    """What happened, in a few words."""
    data = event.data
    if event.kind in _FAULT:
        where = f" on {data['target']}" if "target" in data else ""
        how = f": {clean(data['evidence'], 120)}" if data.get("evidence") else ""
        return f"{clean(data.get('fault', 'fault'), 80)}{where} {_FAULT[event.kind]}{how}"
    words = [event.kind]
    if event.kind == "invoke":
        asked = str(data.get("path") or data.get("name") or "").partition("?")[0]
        words += [str(data.get("method") or "submit"), clean(asked, 80)]
    elif event.kind in ("effect", "phase", "note") and data.get("name"):
        words.append(clean(data["name"], 80))
    words += [clean(event.key, 60)] if event.key else []
    words += [f"task {clean(event.task[:8])}"] if event.task and event.task != event.key else []
    words += [f"{name}={_value(data[name])}" for name in _TOLD if data.get(name) not in (None, "", {}, 0)]
    return " ".join(words)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}:{each}" for name, each in value.items())
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
