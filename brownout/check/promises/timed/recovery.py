"""After the faults have healed, work is done again in time; a worker that is asked to stop finishes its tasks."""

from __future__ import annotations

from typing import Literal

from brownout.check.accounting import gone, is_over
from brownout.check.interval import Findings, over, readable
from brownout.check.promises.loss import effects_unknown, finished
from brownout.check.registry import checker
from brownout.check.verdict import NS, Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.operation import FAILURE, Operation, state_of
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds


def recovery_bound(
    visibility_timeout: float, interval: float = 10, throttle: int = 10, *, mutex: bool = False, slack: float = 5
) -> float:
    """Seconds after which stock Celery on Redis has redelivered the messages that a dead worker held.

    The result is `visibility_timeout` plus the time until kombu looks for overdue messages (unacked_restore_interval
    times unacked_restore_throttle). If `mutex` is true, 300 s are added for a worker that died while it held the lock
    `unacked_mutex`. `slack` (seconds) is added for the time in the queue and the work itself.
    """
    return visibility_timeout + interval * throttle + 300 * mutex + slack


@checker(anomalies=("late-recovery", "unrecovered"), timed=("late-recovery", "unrecovered"))
def recovers(
    history: History,
    *,
    within: Duration,
    path: str | None = None,
    proof: Literal["effect", "ended"] = "effect",
) -> Ruling:
    """Every operation that is invoked after the last fault has healed is done in time.

    The limit `within` counts from the moment at which the client sends the operation. `at_least_once` judges the
    operations that were accepted before or during a fault. The promise does not judge an operation that was definitely
    refused. An operation without a good answer breaks no promise when its client sent it less than `within` seconds
    after the faults had healed. An accepted operation that is not done when a drain has finished is never done, however
    long `within` is. When the wait at the end of the trial (the drain) ends with work left, the length of the drain
    shows whether the limit `within` is over. A failure that a client read counts as an answer, but not as a recovery.
    """
    limit, healed = seconds(within), history.healed_at
    if healed is None:
        return Ruling(doubt="no fault has healed")
    later, findings, first = list[Operation](), Findings(), None
    for op in history.ops.values():
        invoke = op.invoke
        if invoke is None or invoke.at < healed or (path is not None and op.path != path) or op.refused:
            continue
        later.append(op)
        done = _done(op, proof)
        if done and state_of(done) not in FAILURE:
            first = min(filter(None, (first, done)), key=lambda event: event.at)
        if done is None and not op.of("ok") and invoke.at <= healed + limit * NS:
            continue  # the operation was refused or cut off while the subject still had time to recover
        sentence = f"Operation {op.key}, invoked after the last fault had healed,"
        stop = history.kind("fault-stop")[-1]
        if done is None and (end := history.drained) and (how := _never(history, op, end, limit)):
            proved = witness(invoke, stop, end, about=op)
            findings.add(Anomaly("unrecovered", f"{sentence} {how}.", op.key, witness=proved))
            continue
        until = done.at if done else history.end
        busy = over(history, invoke.at, until, limit * NS)
        if busy is not None:
            took = readable((until - invoke.at) / NS, limit)
            how = f"was done after {took}" if done else f"was still not done after {took}"
            proved = witness(invoke, done or history.events[-1], stop, about=op)
            kind, sentence = "late-recovery" if done else "unrecovered", f"{sentence} {how}"
            findings.add(Anomaly(kind, f"{sentence}; the limit is {readable(limit)}.", op.key, witness=proved), busy)
    # An operation that is not done yet, and whose time limit is not over, is no anomaly.
    doubt = "" if first else "nothing was done after the last fault had healed"
    doubt = doubt if later else "no operation was invoked after the last fault had healed"
    if findings.sure and proof == "effect" and (reason := effects_unknown(history, later)):
        return Ruling(doubt=reason)
    why = f"work was done again {readable((first.at - healed) / NS)} after the last fault had healed" if first else ""
    return findings.ruling(doubt="" if findings.doubts else doubt, why=why)


def _never(history: History, op: Operation, end: Event, within: float) -> str:
    """Return the reason why an accepted operation is certainly not done in time; empty when that is not certain."""
    if not op.accepted or op.accepted.at > end.at:
        return ""
    if end.data.get("ok"):
        return "was not done, and the queues are empty"
    if gone(history, op, end):
        return "was not done, and is in no queue, not in unacked and on no worker"
    took = end.data.get("seconds", 0.0) - end.data.get("busy", 0.0)
    if took > within and op.accepted.at <= end.at - end.data["seconds"] * NS:
        return f"was not done in a drain of {readable(took, within)}; the limit is {readable(within)}"
    return ""


def _done(op: Operation, proof: str) -> Event | None:
    return finished(op, proof) if op.works else next(iter(op.of("ok")), None)


@checker(anomalies=("slow-shutdown", "interrupted"), timed=("slow-shutdown",))
def graceful(history: History, *, within: Duration) -> Ruling:
    """A worker that is asked to stop finishes its tasks and ends in time.

    The promise judges only warm shutdowns. Celery documents that a cold shutdown may lose running tasks.
    """
    limit, findings, requests = seconds(within), Findings(), 0
    for stopping in history.kind("shutting-down"):
        if str(stopping.data.get("how", "Warm")) != "Warm":
            continue
        requests += 1
        own = history.by_source[stopping.source]
        ended = next((event for event in own if event.at >= stopping.at and event.kind in ("shutdown", "exit")), None)
        until = ended.at if ended else history.end
        busy = over(history, stopping.at, until, limit * NS, (stopping.source, "broker", "wire", "harness"))
        if busy is not None:
            took = readable((until - stopping.at) / NS, limit)
            sentence = f"{stopping.source} needed {took} to stop; the limit is {readable(limit)}."
            proved = witness(stopping, ended or history.events[-1], history=history)
            findings.add(Anomaly("slow-shutdown", sentence, witness=proved), busy)
        if ended is None:
            continue
        begun: dict[str, Event] = {}
        for event in own:
            if event.at > ended.at:
                break
            if event.kind == "ready":
                begun.clear()
            elif event.kind == "started" and event.task:
                begun[event.task] = event
            elif event.task and (event.kind == "ended" or is_over(event)):
                begun.pop(event.task, None)
        for task, start in begun.items():
            if any(e.kind == "started" and start.at < e.at <= stopping.at for e in history.by_task[task]):
                continue  # the task's pool process had died before, and the task was started again
            sentence = f"{stopping.source} was asked to stop and ended in the middle of task {task}."
            proved = witness(start, stopping, ended, history=history)
            findings.add(Anomaly("interrupted", sentence, history.key_of.get(task), task, proved))
    return findings.ruling(doubt="" if requests else "no worker was asked to stop")
