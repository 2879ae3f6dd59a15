"""When the faults are over, work gets done again, and soon; a shutdown that was asked for is an orderly one."""

from __future__ import annotations

from typing import Literal

from brownout.check.accounting import gone, is_over
from brownout.check.interval import Findings, over
from brownout.check.promises.loss import MISPLACED, finished, misplaced
from brownout.check.registry import checker
from brownout.check.verdict import NS, Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.operation import FAILURE, Operation, state_of
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds, text


def recovery_bound(
    visibility_timeout: float, interval: float = 10, throttle: int = 10, *, mutex: bool = False, slack: float = 5
) -> float:
    """Seconds after which stock Celery on Redis has redelivered what a dead worker held.

    visibility_timeout, then the sweep (kombu's unacked_restore_interval times unacked_restore_throttle); `mutex`
    adds 300 for a worker that died while it held `unacked_mutex`; `slack` is for the queue and the work itself.
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
    """What is invoked after the last fault has healed is done in time.

    `within` counts from the invoke. What was accepted before or during the fault is `at_least_once`'s to bound. A
    definite refusal is an answer; an operation without a good answer is excused while the time since the healing
    is not over. What was accepted and was not done when a drain had come to its end is never done, however long
    `within` is; a drain that had work left shows by its own measure of its time that `within` is over. A failure
    that a client read is an answer, and no recovery.
    """
    limit, healed = seconds(within), history.healed_at
    if healed is None:
        return Ruling(doubt="no fault has healed")
    later, found, first = list[Operation](), Findings(), None
    for op in history.ops.values():
        invoke = op.invoke
        if invoke is None or invoke.at < healed or (path is not None and op.path != path) or op.refused:
            continue
        later.append(op)
        done = _done(op, proof)
        if done and state_of(done) not in FAILURE:
            first = min(filter(None, (first, done)), key=lambda event: event.at)
        if done is None and not op.of("ok") and invoke.at <= healed + limit * NS:
            continue  # turned away or cut off while the subject still had time to recover
        sentence = f"Operation {op.key}, invoked after the last fault had healed,"
        stop = history.kind("fault-stop")[-1]
        if done is None and (end := history.drained) and (how := _never(history, op, end, limit)):
            proved = witness(invoke, stop, end, about=op)
            found.add(Anomaly("unrecovered", f"{sentence} {how}.", op.key, witness=proved))
            continue
        until = done.at if done else history.end
        busy = over(history, invoke.at, until, limit * NS)
        if busy is not None:
            took = text(round((until - invoke.at) / NS, 3))
            how = f"was done after {took}" if done else f"was still not done after {took}"
            proved = witness(invoke, done or history.events[-1], stop, about=op)
            kind = "late-recovery" if done else "unrecovered"
            found.add(Anomaly(kind, f"{sentence} {how}; the limit is {text(limit)}.", op.key, witness=proved), busy)
    # What is still open has not had its time.
    doubt = "" if first else "nothing was done after the last fault had healed"
    took = text(round((first.at - healed) / NS, 3)) if first else ""
    doubt = doubt if later else "no operation after the healing"
    if found.sure and proof == "effect" and misplaced(history, later):
        return Ruling(doubt=MISPLACED)
    return found.ruling(doubt="" if found.doubts else doubt, why=f"after {took}")


def _never(history: History, op: Operation, end: Event, within: float) -> str:
    """Why it is sure that an accepted operation is not done in time; empty while it is not."""
    if not op.accepted or op.accepted.at > end.at:
        return ""
    if end.data.get("ok"):
        return "was not done, and everything was drained"
    if gone(history, op, end):
        return "was not done, and is in no queue, not unacked and on no worker"
    took = end.data.get("seconds", 0.0) - end.data.get("busy", 0.0)
    if took > within and op.accepted.at <= end.at - end.data["seconds"] * NS:
        return f"was not done in a drain of {text(round(took, 3))}; the limit is {text(within)}"
    return ""


def _done(op: Operation, proof: str) -> Event | None:
    return finished(op, proof) if op.works else next(iter(op.of("ok")), None)


@checker(anomalies=("slow-shutdown", "interrupted"), timed=("slow-shutdown",))
def graceful(history: History, *, within: Duration) -> Ruling:
    """A worker that is asked to stop finishes its tasks and ends in time.

    It is judged for warm shutdowns; a cold one may lose what runs, by its documentation.
    """
    limit, found, asked = seconds(within), Findings(), 0
    for stopping in history.kind("shutting-down"):
        if str(stopping.data.get("how", "Warm")) != "Warm":
            continue
        asked += 1
        own = history.by_source[stopping.source]
        gone = next((e for e in own if e.at >= stopping.at and e.kind in ("shutdown", "exit")), None)
        until = gone.at if gone else history.end
        busy = over(history, stopping.at, until, limit * NS, (stopping.source, "broker", "wire", "harness"))
        if busy is not None:
            took = text(round((until - stopping.at) / NS, 3))
            sentence = f"{stopping.source} needed {took} to stop; the limit is {text(limit)}."
            proved = witness(stopping, gone or history.events[-1], history=history)
            found.add(Anomaly("slow-shutdown", sentence, witness=proved), busy)
        if gone is None:
            continue
        begun: dict[str, Event] = {}
        for event in own:
            if event.at > gone.at:
                break
            if event.kind == "ready":
                begun.clear()
            elif event.kind == "started" and event.task:
                begun[event.task] = event
            elif event.task and (event.kind == "ended" or is_over(event)):
                begun.pop(event.task, None)
        for task, start in begun.items():
            if any(e.kind == "started" and start.at < e.at <= stopping.at for e in history.by_task[task]):
                continue  # its child had died before, and it was begun again
            sentence = f"{stopping.source} was asked to stop and ended in the middle of task {task}."
            proved = witness(start, stopping, gone, history=history)
            found.add(Anomaly("interrupted", sentence, history.key_of.get(task), task, proved))
    return found.ruling(doubt="" if asked else "no worker was asked to stop")
