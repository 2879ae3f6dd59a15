"""A status is true, and never goes back."""

from __future__ import annotations

from itertools import pairwise

from brownout.check.registry import checker
from brownout.check.verdict import NS, Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.operation import FAILURE, RANK, SUCCESS, Operation, state_of
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds


def _reads(history: History) -> dict[str, list[Event]]:
    reads: dict[str, list[Event]] = {}
    for event in history.kind("read"):
        subject = event.key or history.key_of.get(event.task or "") or event.task
        if subject and state_of(event) in RANK:
            reads.setdefault(subject, []).append(event)
    return reads


@checker(anomalies=("zombie",))
def status_monotone(history: History, *, expires: Duration | None = None, failure_final: bool = False) -> Ruling:
    """A status never goes back.

    After SUCCESS every read says SUCCESS, and a task that has run does not go back to a waiting state. The statuses
    RETRY and STARTED may alternate. Unless `failure_final` is true, the status of a redelivered task may change from
    FAILURE to another status. A result may be forgotten `expires` seconds after it was read. Reads that overlap in time
    are not compared.
    """
    kept = None if expires is None else seconds(expires)
    anomalies, reads = [], _reads(history)
    for subject, events in reads.items():
        for first, then in pairwise(events):
            before, after = state_of(first), state_of(then)
            forgotten = kept is not None and RANK[after] == 0 and then.at - first.at >= kept * NS
            if forgotten or then.data.get("invoked", then.at) <= first.at:
                continue
            left = (before in SUCCESS and after not in SUCCESS) or (RANK[after] == 0 < RANK[before])
            if left or (failure_final and before in FAILURE and after not in FAILURE):
                sentence = f"The status of {subject} went back from {before} to {after}."
                proved = witness(first, then, about=history.ops.get(subject), history=history)
                anomalies.append(Anomaly("zombie", sentence, first.key, first.task, proved))
    return Ruling(anomalies, doubt="" if reads else "nobody read a status")


@checker(anomalies=("misreported",))
def status_truthful(history: History, *, grace: Duration = "100ms") -> Ruling:
    """A status says what really happened. An effect may be recorded up to `grace` seconds after it was done.

    SUCCESS is read only after the operation took effect. When the last status is FAILURE, the operation must have had
    no effect. Only the last read, after the drain, is judged for FAILURE, because a redelivered task may fail and then
    succeed.
    """
    end, reads = history.drained, _reads(history)
    if not reads or not history.by_kind.get("effect"):
        return Ruling(doubt="nobody read a status" if not reads else "no effect was recorded")
    anomalies = []
    for subject, events in reads.items():
        op = history.ops.get(subject) or Operation(subject, (), tuple(history.by_task.get(subject, ())))
        done = op.effects[0] if op.effects else None
        success = next((read for read in events if state_of(read) in SUCCESS), None)
        last = events[-1]
        how, core = "", success
        if success and (done.at if done else history.end) > success.at + seconds(grace) * NS:
            how = "the operation had not taken effect" + (" yet" if done else "")
        elif done and end and last.at >= end.at and state_of(last) in FAILURE:
            how, core = "the operation took effect", last
        if how and core:
            # An effect counts as missing only if effects are recorded at all, and the history goes on after the read of
            # the status.
            absent = () if done else (history.by_kind["effect"][0], history.events[-1])
            proved = witness(core, done, *absent, end if core is last else None, about=op, history=history)
            sentence = f"The status of {subject} says {state_of(core)}, but {how}."
            anomalies.append(Anomaly("misreported", sentence, core.key, core.task, proved))
    return Ruling(anomalies)
