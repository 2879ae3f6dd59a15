"""The queues stay short; at the end of the drain no work is left, and nothing hangs."""

from __future__ import annotations

from brownout.check.accounting import is_over
from brownout.check.interval import Findings, busy, readable
from brownout.check.registry import checker
from brownout.check.verdict import NS, Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.operation import RANK, Operation, state_of
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds


def _left(sample: Event) -> dict[str, int]:
    queues = {name: length for name, length in sample.data.get("queues", {}).items() if length}
    return queues | ({"unacked": sample.data["unacked"]} if sample.data.get("unacked") else {})


def cut_short(history: History) -> int:
    """The time (ns) that was left of a drain's limit when the drain gave up; 0 when the drain finished or used its
    whole limit.

    Time in which the processes waited for a CPU does not count towards the limit, but no drain goes on for ever.
    """
    end = history.drained
    if end is None or end.data.get("ok") or "seconds" not in end.data:
        return 0
    return max(0, int((end.data["limit"] - (end.data["seconds"] - end.data["busy"])) * NS))


@checker(anomalies=("undrained",), timed=("undrained",))
def drained(history: History) -> Ruling:
    """After the drain every queue is empty and no message is unacked.

    An entry of `unacked_index` without a message breaks no promise, because kombu's next sweep drops such an entry.
    """
    end, sample = history.drained, history.sample
    if end is None or sample is None:
        blind = history.blind or "the broker was never sampled"
        return Ruling(doubt="no drain was run" if end is None else blind)
    left = _left(sample)
    if not left and end.data.get("ok"):
        return Ruling(why=f"unacked_index holds {sample.data.get('unacked_index', 0)} entries")
    places = ", ".join(f"{number} in {history.place(name)}" for name, number in left.items())
    work = places or str(end.data.get("left") or "the broker does not show where")
    readers = history.readers[-1:] if any(map(history.unread, left)) else ()
    proved = witness(*readers, *history.kind("sample")[-2:], end, history=history)
    findings = Findings()
    lasted = f" after {readable(end.data['seconds'])}" if "seconds" in end.data else ""
    sentence = f"Work was left when the drain ended{lasted}: {work}."
    findings.add(Anomaly("undrained", sentence, witness=proved), cut_short(history))
    return findings.ruling()


@checker(anomalies=("stuck", "abandoned"), timed=("stuck",))
def nothing_stuck(history: History, *, expires: Duration | None = None) -> Ruling:
    """After the drain no operation hangs, and every status is final.

    An operation hangs when its message stays in a queue or in `unacked`, when a worker never finishes it, or when its
    status never becomes final. The promise judges the status that is read after the drain. A result may be forgotten
    `expires` seconds after the work was done (`result_expires`), or immediately when `expires` is 0; a forgotten result
    may have the status PENDING. The verdict is unknown when the API did not tell the last status of finished work. Work
    that is in no queue and on no worker is lost, which the promise `at_least_once` judges. Work is "abandoned" when a
    worker started it and did not finish it, and its message was never acknowledged.
    """
    end, sample = history.drained, history.sample
    if end is None:
        return Ruling(doubt="no drain was run")
    places = sample.data.get("by_task", {}) if sample else {}
    findings, with_work, unread = Findings(), 0, 0
    kept = None if expires is None else seconds(expires)
    for op in history.ops.values():
        with_work += op.works
        unread += op.works and bool(op.of("unread")) and bool(_finish_events(op))
        if not op.works or (hanging := _hangs(history, op, places, end, kept)) is None:
            continue
        kind, how, core = hanging
        proved = witness(*(core or (sample,)), end, about=op, history=history)
        sentence = f"When the drain ended, operation {op.key} {how}."
        findings.add(Anomaly(kind, sentence, op.key, op.tasks[0] if op.tasks else None, proved), cut_short(history))
    doubt = "" if with_work else "no operation asked for work"
    if unread:
        doubt = f"the API did not tell the last status of {unread} finished operations"
    if not end.data.get("ok") and not findings.sure and not findings.doubts:
        doubt = history.blind or "the drain did not end, and nothing shows where the remaining work is"
    return findings.ruling(doubt=doubt)


def _finish_events(op: Operation) -> tuple[Event, ...]:
    return op.effects or tuple(filter(is_over, op.events))


def _hangs(
    history: History, op: Operation, places: dict[str, str], end: Event, expires: float | None
) -> tuple[str, str, tuple[Event, ...]] | None:
    over, last = _finish_events(op), op.final
    if over:
        rank = RANK.get(state_of(last), 2) if last and last.at >= end.at else 2
        forgotten = expires is not None and rank == 0 and last and last.at - over[-1].at >= expires * NS
        if last and rank < 2 and not forgotten:
            return "stuck", f"was done, but its status was still {state_of(last)}", (over[0], last)
        return None
    where = next((places[task] for task in op.tasks if task in places), None)
    if where:
        return "stuck", f"was still in {history.place(where)}", ()
    starts = op.of("started")
    if starts and not (last and RANK.get(state_of(last), 0) == 2):
        if not end.data.get("ok"):
            on = starts[-1].source
            dead = history.changed.get(on, -1) > starts[-1].at
            how = f"had been started on {on}, and this process had ended" if dead else f"was still running on {on}"
            return "stuck", how, starts[-1:]
        if not op.accepted:
            how = f"had been started on {starts[-1].source}, but it was neither done nor failed"
            return "abandoned", how, starts[-1:]
    return None


@checker(anomalies=("backlog",), timed=("backlog",))
def backlog_within(history: History, most: int) -> Ruling:
    """At most `most` messages wait in the queues at any time.

    No sample of the broker may show more than this number of messages in the queues. The verdict is in doubt when the
    processes waited for a CPU while the queues grew, for at least as long as the queues were longer than `most`.
    """
    samples = history.kind("sample")
    lengths = [sum(sample.data.get("queues", {}).values()) for sample in samples]
    over_at = next((n for n, length in enumerate(lengths) if length > most), None)
    if over_at is None:
        why = f"at most {max(lengths, default=0)} messages waited"
        doubt = "" if samples else history.blind or "the broker was never sampled"
        return Ruling(doubt=doubt, why=why)
    sentence = f"{lengths[over_at]} messages waited in the queues; the limit is {most}."
    invoke = [event for event in history.kind("invoke") if event.at <= samples[over_at].at][-1:]
    proved = witness(*samples[max(0, over_at - 1) : over_at + 1], *invoke, history=history)
    findings = Findings()
    last_empty = next((samples[n].at for n in range(over_at - 1, -1, -1) if not lengths[n]), history.events[0].at)
    back = next((n for n in range(over_at, len(lengths)) if lengths[n] <= most), len(lengths) - 1)
    waited = busy(history, last_empty, samples[over_at].at)
    lasted = samples[back].at - samples[over_at].at
    findings.add(Anomaly("backlog", sentence, witness=proved), waited if waited >= lasted else 0)
    return findings.ruling()
