"""Attempts and the waits between them follow Celery's own formula."""

from __future__ import annotations

from collections import Counter, defaultdict

from brownout.check.verdict import Anomaly, Verdict, judged, witness
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.promise import Promise

_ENOUGH = 200
_CELLS = 10


def _for_name(history: History, kind: str, name: str | None) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in history.kind(kind):
        if event.task and (name is None or event.data.get("name") in (name, None)):
            found[event.task].append(event)
    return found


def attempts_within(history: History, promise: Promise) -> Verdict:
    """No attempt has a retry count over `max_retries`, and each task starts at most `starts` times, if that is given.

    Attempts are told apart by the retry count in the message: a crash between a retry's publish and the ack forks
    the chain, so starts alone prove nothing. A task that kills its child is delivered for ever with count 0: `starts`.
    """
    limit, most = promise.args.get("max_retries", 3), promise.args.get("starts")
    found, anomalies = _for_name(history, "started", promise.args.get("task")), []
    for task, starts in found.items():
        over = [event for event in starts if event.data.get("retries", 0) > limit]
        op = history.ops.get(history.key_of.get(task, ""))
        if over:
            how = f"was tried with retry count {over[-1].data['retries']}; promised were {limit} retries"
            proved = witness(over[-1], about=op, history=history)
        elif most is not None and len(starts) > most:
            how = f"was started {len(starts)} times; promised were {most}"
            proved = witness(*starts[: most + 1], about=op)
        else:
            continue
        anomalies.append(Anomaly("overtried", f"Task {task} {how}.", op.key if op else None, task, proved))
    return judged(promise, anomalies, doubt="" if found else "no task was started")


def backoff_within(history: History, promise: Promise) -> Verdict:
    """Each countdown is min(maximum, factor * 2^retries), or with jitter a whole number from 0 up to that.

    celery.utils.time.get_exponential_backoff_interval: the factor is int(max(1, retry_backoff)). The countdown is
    read from the retry itself, never from gaps between starts, in which queues and polls have their share. That
    jitter is really spread is judged from 200 countdowns of one bound on, by chi-square at p = 1e-4.
    """
    factor, maximum = int(max(1, promise.args.get("factor", 1))), promise.args.get("maximum", 600)
    jitter = promise.args.get("jitter", True)
    anomalies, drawn, told = [], defaultdict(list), 0
    for task, retries in _for_name(history, "retry", promise.args.get("task")).items():
        for event in retries:
            wait = event.data.get("countdown")
            if wait is None:
                continue
            told += 1
            bound = min(maximum, factor * 2 ** event.data.get("retries", 0))
            drawn[bound].append((wait, event))
            if (0 <= wait <= bound and wait == int(wait)) if jitter else wait == bound:
                continue
            op = history.ops.get(history.key_of.get(task, ""))
            allowed = f"0 to {bound}" if jitter else str(bound)
            sentence = f"Task {task} waits {wait} s before its next attempt; the formula gives {allowed} s."
            proved = witness(event, about=op, history=history)
            anomalies.append(Anomaly("misbackoff", sentence, op.key if op else None, task, proved))
    for bound, waits in drawn.items():
        if jitter and len(waits) >= _ENOUGH and bound >= 1 and not _spread([w for w, _ in waits], bound):
            sentence = f"{len(waits)} countdowns up to {bound} s are not spread as full jitter would spread them."
            anomalies.append(Anomaly("unspread", sentence, witness=tuple(e for _, e in waits[:6])))
    return judged(promise, anomalies, doubt="" if told else "no task was retried with a countdown")


def _spread(waits: list[int], bound: int) -> bool:
    """Chi-square against equal chances, its critical value by Wilson and Hilferty's approximation."""
    cells = min(bound + 1, _CELLS)
    expected: Counter[int] = Counter(value * cells // (bound + 1) for value in range(bound + 1))
    observed = Counter(int(wait) * cells // (bound + 1) for wait in waits)
    share = len(waits) / (bound + 1)
    chi = sum((observed[cell] - share * expected[cell]) ** 2 / (share * expected[cell]) for cell in expected)
    free = cells - 1
    return bool(chi <= free * (1 - 2 / (9 * free) + 3.72 * (2 / (9 * free)) ** 0.5) ** 3)
