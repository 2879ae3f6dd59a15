"""Nothing takes effect twice."""

from __future__ import annotations

from collections import defaultdict

from brownout.check.loss import at_least_once
from brownout.check.verdict import Anomaly, Verdict, judged, witness
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.promise import Promise

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


def at_most_once(history: History, promise: Promise) -> Verdict:
    """No operation has two effects of one name, whoever did them and however often it was delivered.

    `of` "started" counts starts of the body instead: stricter, and not what at-least-once delivery allows.
    """
    of = promise.args.get("of", "effect")
    anomalies = _duplicates(history, promise.args.get("by", "key"), of)
    return judged(promise, anomalies, doubt="" if history.by_kind.get(of) else f"no {of} event was recorded")


def effectively_once(history: History, promise: Promise) -> Verdict:
    """Each acknowledged operation has exactly one effect; starts and deliveries may be more."""
    lower = at_least_once(history, promise)
    anomalies = [*_duplicates(history, promise.args.get("by", "key"), "effect"), *lower.anomalies]
    doubt = lower.why if lower.validity == "unknown" else ""
    return judged(promise, anomalies, doubt=doubt, why=lower.why, busy_ms=lower.busy_ms)
