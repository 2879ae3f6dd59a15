"""What a status says is true, and does not go backwards."""

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

    No read leaves SUCCESS, and none waits again once it ran. RETRY and STARTED may alternate, and a redelivered
    task may leave FAILURE unless `failure_final`. After `expires` seconds a result may be forgotten. Of two reads
    that overlapped neither was first.
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
    """A status says what really happened; `grace` is for the record of an effect, written just after it.

    SUCCESS is read only of what has taken effect; a FAILURE that stands at the end is of what has not. FAILURE is
    judged by the last read after the drain alone: a redelivered task may fail first and succeed then.
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
            how = "it had not taken effect" + (" yet" if done else "")
        elif done and end and last.at >= end.at and state_of(last) in FAILURE:
            how, core = "its effect was done", last
        if how and core:
            # Without an effect of its own: the ledger was on, and time went on after the read.
            absent = () if done else (history.by_kind["effect"][0], history.events[-1])
            proved = witness(core, done, *absent, end if core is last else None, about=op, history=history)
            sentence = f"The status of {subject} says {state_of(core)}, and {how}."
            anomalies.append(Anomaly("misreported", sentence, core.key, core.task, proved))
    return Ruling(anomalies)
