"""The number of attempts, and the waits between attempts, follow Celery's settings."""

from __future__ import annotations

from collections import Counter, defaultdict

from brownout.check.registry import checker
from brownout.check.verdict import Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.view import History

_ENOUGH = 200  # The chi-square test needs at least this many countdowns with the same upper bound.
_CELLS = 10  # Number of classes of the chi-square test.


def _by_task(history: History, kind: str, name: str | None) -> dict[str, list[Event]]:
    events: dict[str, list[Event]] = defaultdict(list)
    for event in history.kind(kind):
        if event.task and (name is None or event.data.get("name") in (name, None)):
            events[event.task].append(event)
    return events


@checker(anomalies=("overtried",))
def attempts_within(
    history: History, max_retries: int, *, starts: int | None = None, task: str | None = None
) -> Ruling:
    """A task has at most `max_retries` retries, as Celery counts them, and at most `starts` starts.

    The retry count in the message tells attempts apart. The number of starts alone proves nothing, because a crash
    between a retry's publish and the ack leaves two messages. Set `starts` for a task that kills its pool process,
    because Celery delivers such a task again and again with retry count 0.
    """
    by_task, anomalies = _by_task(history, "started", task), []
    for id, started in by_task.items():
        over = [event for event in started if event.data.get("retries", 0) > max_retries]
        op = history.ops.get(history.key_of.get(id, ""))
        if over:
            how = f"was started with retry count {over[-1].data['retries']}; the limit is {max_retries}"
            proved = witness(over[-1], about=op, history=history)
        elif starts is not None and len(started) > starts:
            how = f"was started {len(started)} times; the limit is {starts}"
            proved = witness(*started[: starts + 1], about=op)
        else:
            continue
        anomalies.append(Anomaly("overtried", f"Task {id} {how}.", op.key if op else None, id, proved))
    return Ruling(anomalies, doubt="" if by_task else "no task was started")


@checker(anomalies=("misbackoff", "unspread"))
def backoff_within(
    history: History, *, factor: float = 1, maximum: int = 600, jitter: bool = True, task: str | None = None
) -> Ruling:
    """A task waits before a retry as its retry_backoff, retry_backoff_max and retry_jitter say.

    Each countdown is min(maximum, factor * 2^retries) seconds, or with `jitter` a whole number from 0 up to that bound.
    `factor` counts as int(max(1, factor)), as in celery.utils.time.get_exponential_backoff_interval. The countdown
    comes from the retry event, not from gaps between starts, which include the time in queues and until the worker's
    next poll. If there are at least 200 countdowns with the same bound, a chi-square test at p = 1e-4 judges whether
    the jitter spreads them evenly.
    """
    base, anomalies, by_bound, countdowns = int(max(1, factor)), [], defaultdict(list), 0
    for id, retries in _by_task(history, "retry", task).items():
        for event in retries:
            wait = event.data.get("countdown")
            if wait is None:
                continue
            countdowns += 1
            bound = min(maximum, base * 2 ** event.data.get("retries", 0))
            by_bound[bound].append((wait, event))
            if (0 <= wait <= bound and wait == int(wait)) if jitter else wait == bound:
                continue
            op = history.ops.get(history.key_of.get(id, ""))
            allowed = f"0 to {bound}" if jitter else str(bound)
            sentence = f"Task {id} waits {wait} s before its next attempt; the formula gives {allowed} s."
            proved = witness(event, about=op, history=history)
            anomalies.append(Anomaly("misbackoff", sentence, op.key if op else None, id, proved))
    for bound, waits in by_bound.items():
        if jitter and len(waits) >= _ENOUGH and bound >= 1 and not _spread([wait for wait, _ in waits], bound):
            sentence = f"{len(waits)} countdowns up to {bound} s are not spread as full jitter would spread them."
            anomalies.append(Anomaly("unspread", sentence, witness=tuple(event for _, event in waits[:6])))
    return Ruling(anomalies, doubt="" if countdowns else "no task was retried with a countdown")


def _spread(waits: list[int], bound: int) -> bool:
    """A chi-square test of whether all values are equally likely; the critical value comes from Wilson and Hilferty's
    approximation."""
    cells = min(bound + 1, _CELLS)
    expected: Counter[int] = Counter(value * cells // (bound + 1) for value in range(bound + 1))
    observed = Counter(int(wait) * cells // (bound + 1) for wait in waits)
    share = len(waits) / (bound + 1)
    chi = sum((observed[cell] - share * expected[cell]) ** 2 / (share * expected[cell]) for cell in expected)
    free = cells - 1
    return bool(chi <= free * (1 - 2 / (9 * free) + 3.72 * (2 / (9 * free)) ** 0.5) ** 3)
