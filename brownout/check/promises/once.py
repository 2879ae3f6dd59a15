"""No operation takes effect twice."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Literal

from brownout.check.promises.loss import UNDONE, at_least_once
from brownout.check.registry import checker, rule
from brownout.check.verdict import Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.duration import Duration

_KEY = frozenset({"key", "idempotency_key"})


def _identity(history: History, event: Event, by: str) -> str | None:
    if by in _KEY:
        return event.key or history.key_of.get(event.task or "") or event.task
    if by == "task":
        return event.task or event.key
    value = event.data.get(by)
    return None if value is None else str(value)


def _duplicates(history: History, by: str, of: str) -> list[Anomaly]:
    groups: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in history.kind(of):
        subject = _identity(history, event, by)
        # Two starts of a task with different retry counts are different attempts, not repetitions.
        variant = event.data.get("name") if of == "effect" else event.data.get("retries", 0)
        if subject is not None:
            groups[subject, str(variant)].append(event)
    anomalies = []
    for (subject, _), events in groups.items():
        if len(events) < 2:
            continue
        key = events[0].key or history.key_of.get(events[0].task or "")
        op = history.ops.get(key or "")
        oks = len(op.of("ok")) if op else 0
        what = "took effect" if of == "effect" else "was started"
        sentence = f"Operation {subject} {what} {len(events)} times; it was acknowledged {oks} times."
        proved = witness(*events[:2], about=op, history=history)
        anomalies.append(Anomaly("duplicate", sentence, key, events[0].task, proved))
    return anomalies


@checker(anomalies=("duplicate",))
def at_most_once(history: History, *, by: str = "key", of: Literal["effect", "started"] = "effect") -> Ruling:
    """No operation takes effect twice or, with `of` "started", is started twice.

    No operation has two effects of the same name, whichever process caused them and however often the message was
    delivered. `by` says by what two effects are compared: "key", "task", or a field of the effect's data. When `of` is
    "started", starts of the task's body are counted, not effects; this is stricter, because at-least-once delivery
    allows several starts.
    """
    doubt = "" if history.by_kind.get(of) else f"no {of} event was recorded"
    return Ruling(_duplicates(history, by, of), doubt)


@checker(anomalies=("duplicate", *UNDONE), timed=("late",))
def effectively_once(history: History, *, by: str = "key", within: Duration | None = None) -> Ruling:
    """Each acknowledged operation takes effect exactly once.

    Two effects are compared by `by`: "key", "task", or a field of the effect's data. Several starts and deliveries are
    allowed. The limit `within` counts from the acknowledgement or from the end of the last fault, whichever is later.
    """
    losses = rule(history, at_least_once(within=within))
    return replace(losses, anomalies=[*_duplicates(history, by, "effect"), *losses.anomalies])
