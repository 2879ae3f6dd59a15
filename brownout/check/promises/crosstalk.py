"""No operation gets the answer of another operation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from brownout.check.registry import checker
from brownout.check.verdict import Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.view import History

#: This pattern finds the key of an operation inside a text. Shorter words do not count as keys, because a payload may
#: contain a short word by chance.
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
    """No operation gets the answer or the result of another operation.

    No answer, status or result of an operation contains the key of another operation, and no two operations share a
    task. The checker sees only answers that repeat a key, so payloads should contain "{key}". The usual cause is a
    connection that was cut in the middle of a reply and then used again.
    """
    ops, owner = history.ops, dict[str, Event]()
    anomalies, examined = [], 0
    for event in history.kind("ok", "read", "effect"):
        key = event.key or history.key_of.get(event.task or "")
        if key not in ops:
            continue
        examined += 1
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
    return Ruling(anomalies, doubt="" if examined else "no answer was recorded")
