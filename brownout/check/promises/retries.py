"""Attempts and the waits between them follow Celery's own formula."""

from __future__ import annotations

from collections import Counter, defaultdict

from brownout.check.registry import checker
from brownout.check.verdict import Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.view import History

_ENOUGH = 200
_CELLS = 10


def _for_name(history: History, kind: str, name: str | None) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = defaultdict(list)
    for event in history.kind(kind):
        if event.task and (name is None or event.data.get("name") in (name, None)):
            found[event.task].append(event)
    return found


@checker(anomalies=("overtried",))
def attempts_within(
    history: History, max_retries: int, *, starts: int | None = None, task: str | None = None
) -> Ruling:
    """No more retries than Celery's `max_retries`, and no more starts than `starts`.

    Attempts are told apart by the retry count in the message: a crash between a retry's publish and the ack forks
    the chain, so starts alone prove nothing. A task that kills its child is delivered for ever with count 0:
    `starts`.
    """
    found, anomalies = _for_name(history, "started", task), []
    for id, started in found.items():
        over = [event for event in started if event.data.get("retries", 0) > max_retries]
        op = history.ops.get(history.key_of.get(id, ""))
        if over:
            how = f"was tried with retry count {over[-1].data['retries']}; promised were {max_retries} retries"
            proved = witness(over[-1], about=op, history=history)
        elif starts is not None and len(started) > starts:
            how = f"was started {len(started)} times; promised were {starts}"
            proved = witness(*started[: starts + 1], about=op)
        else:
            continue
        anomalies.append(Anomaly("overtried", f"Task {id} {how}.", op.key if op else None, id, proved))
    return Ruling(anomalies, doubt="" if found else "no task was started")


@checker(anomalies=("misbackoff", "unspread"))
def backoff_within(
    history: History, *, factor: float = 1, maximum: int = 600, jitter: bool = True, task: str | None = None
) -> Ruling:
    """Waits as retry_backoff, retry_backoff_max and retry_jitter of the task give them.

    Each countdown is min(maximum, factor * 2^retries), or with jitter a whole number from 0 up to that.
    celery.utils.time.get_exponential_backoff_interval: the factor is int(max(1, retry_backoff)). The countdown is
    read from the retry itself, never from gaps between starts, in which queues and polls have their share. That
    jitter is really spread is judged from 200 countdowns of one bound on, by chi-square at p = 1e-4.
    """
    whole, anomalies, drawn, told = int(max(1, factor)), [], defaultdict(list), 0
    for id, retries in _for_name(history, "retry", task).items():
        for event in retries:
            wait = event.data.get("countdown")
            if wait is None:
                continue
            told += 1
            bound = min(maximum, whole * 2 ** event.data.get("retries", 0))
            drawn[bound].append((wait, event))
            if (0 <= wait <= bound and wait == int(wait)) if jitter else wait == bound:
                continue
            op = history.ops.get(history.key_of.get(id, ""))
            allowed = f"0 to {bound}" if jitter else str(bound)
            sentence = f"Task {id} waits {wait} s before its next attempt; the formula gives {allowed} s."
            proved = witness(event, about=op, history=history)
            anomalies.append(Anomaly("misbackoff", sentence, op.key if op else None, id, proved))
    for bound, waits in drawn.items():
        if jitter and len(waits) >= _ENOUGH and bound >= 1 and not _spread([w for w, _ in waits], bound):
            sentence = f"{len(waits)} countdowns up to {bound} s are not spread as full jitter would spread them."
            anomalies.append(Anomaly("unspread", sentence, witness=tuple(e for _, e in waits[:6])))
    return Ruling(anomalies, doubt="" if told else "no task was retried with a countdown")


def _spread(waits: list[int], bound: int) -> bool:
    """Chi-square against equal chances, its critical value by Wilson and Hilferty's approximation."""
    cells = min(bound + 1, _CELLS)
    expected: Counter[int] = Counter(value * cells // (bound + 1) for value in range(bound + 1))
    observed = Counter(int(wait) * cells // (bound + 1) for wait in waits)
    share = len(waits) / (bound + 1)
    chi = sum((observed[cell] - share * expected[cell]) ** 2 / (share * expected[cell]) for cell in expected)
    free = cells - 1
    return bool(chi <= free * (1 - 2 / (9 * free) + 3.72 * (2 / (9 * free)) ** 0.5) ** 3)
