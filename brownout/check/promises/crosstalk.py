"""No one gets another's answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from brownout.check.registry import checker
from brownout.check.verdict import Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.view import History

#: A key inside a text; what is shorter may be a word of the payload by chance.
_WORD = re.compile(r"[\w:.-]{6,}")
_CARRIERS = ("body", "result", "value")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _WORD.findall(value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


@checker(anomalies=("cross-talk",))
def no_cross_talk(history: History) -> Ruling:
    """No one gets another's answer or result.

    No answer, status or result of an operation carries the key of another, and no two operations share a task. It
    sees only what echoes: payloads should contain "{key}". Connections that were cut in the middle of a reply and
    then used again are the usual cause.
    """
    ops, owner = history.ops, dict[str, Event]()
    anomalies, looked = [], 0
    for event in history.kind("ok", "read", "effect"):
        key = event.key or history.key_of.get(event.task or "")
        if key not in ops:
            continue
        looked += 1
        texts = {text for name in _CARRIERS for text in _texts(event.data.get(name))}
        other = next((text for text in texts if text != key and text in ops), None)
        first = owner.setdefault(event.task, event) if event.task and event.kind == "ok" else event
        if other is None and (first.key or key) == key:
            continue
        kind = {"ok": "answer", "read": "status", "effect": "effect"}[event.kind]
        how = f"carries the key of {other}" if other else f"names the task of {first.key}"
        theirs = ops.get(other or first.key or key)
        proved = witness(event, first, ops[key].invoke, theirs.invoke if theirs else None, history=history)
        anomalies.append(Anomaly("cross-talk", f"The {kind} for {key} {how}.", key, event.task, proved))
    return Ruling(anomalies, doubt="" if looked else "no answer was recorded")
