"""Nothing takes effect twice."""

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


def _subject(history: History, event: Event, by: str) -> str | None:
    if by in _KEY:
        return event.key or history.key_of.get(event.task or "") or event.task
    if by == "task":
        return event.task or event.key
    value = event.data.get(by)
    return None if value is None else str(value)


def _duplicates(history: History, by: str, of: str) -> list[Anomaly]:
    groups: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in history.kind(of):
        subject = _subject(history, event, by)
        # A start with another retry count is another attempt, which is no repetition.
        which = event.data.get("name") if of == "effect" else event.data.get("retries", 0)
        if subject is not None:
            groups[subject, str(which)].append(event)
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
    """Nothing takes effect twice, or with `of` "started" is begun twice.

    No operation has two effects of one name, whoever did them and however often it was delivered. `by` is "key",
    "task", or a field of the effect's data. `of` "started" counts starts of the body instead: stricter, and not
    what at-least-once delivery allows.
    """
    doubt = "" if history.by_kind.get(of) else f"no {of} event was recorded"
    return Ruling(_duplicates(history, by, of), doubt)


@checker(anomalies=("duplicate", *UNDONE), timed=("late",))
def effectively_once(history: History, *, by: str = "key", within: Duration | None = None) -> Ruling:
    """Each acknowledged operation takes effect exactly once. `by` is "key", "task", or a field of the effect's data.

    Starts and deliveries may be more. `within` counts as for `at_least_once`.
    """
    lower = rule(history, at_least_once(within=within))
    return replace(lower, anomalies=[*_duplicates(history, by, "effect"), *lower.anomalies])
