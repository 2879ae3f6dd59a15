"""No queue grows unnoticed; at the end nothing is left over, and nothing hangs."""

from __future__ import annotations

from brownout.check.accounting import is_over
from brownout.check.interval import Findings, busy
from brownout.check.registry import checker
from brownout.check.verdict import NS, Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.operation import RANK, Operation, state_of
from brownout.history.view import History
from brownout.plan.duration import Duration, seconds, text


def _left(sample: Event) -> dict[str, int]:
    queues = {name: n for name, n in sample.data.get("queues", {}).items() if n}
    return queues | ({"unacked": sample.data["unacked"]} if sample.data.get("unacked") else {})


def cut_short(history: History) -> int:
    """0 when the drain came to its end, or had all the time that was promised to it; else the time (ns) it lacked.

    A drain goes on until its time has passed without that in which the processes waited for a CPU, but not for
    ever.
    """
    end = history.drained
    if end is None or end.data.get("ok") or "seconds" not in end.data:
        return 0
    return max(0, int((end.data["limit"] - (end.data["seconds"] - end.data["busy"])) * NS))


@checker(anomalies=("undrained",), timed=("undrained",))
def drained(history: History) -> Ruling:
    """At the end every queue is empty and nothing is unacked.

    An entry of `unacked_index` without its message is harmless (the next sweep drops it) and is only counted.
    """
    end, sample = history.drained, history.sample
    if end is None or sample is None:
        blind = history.blind or "nobody looked into the broker"
        return Ruling(doubt="no drain was run" if end is None else blind)
    left = _left(sample)
    if not left and end.data.get("ok"):
        return Ruling(why=f"unacked_index holds {sample.data.get('unacked_index', 0)}")
    places = ", ".join(f"{n} in {history.place(name)}" for name, n in left.items())
    what = places or str(end.data.get("left") or "something")
    readers = history.readers[-1:] if any(map(history.unread, left)) else ()
    proved = witness(*readers, *history.kind("sample")[-2:], end, history=history)
    found = Findings()
    lasted = f" after {text(round(end.data['seconds'], 3))}" if "seconds" in end.data else ""
    sentence = f"Work was left over when the drain ended{lasted}: {what}."
    found.add(Anomaly("undrained", sentence, witness=proved), cut_short(history))
    return found.ruling()


@checker(anomalies=("stuck", "abandoned"), timed=("stuck",))
def nothing_stuck(history: History, *, expires: Duration | None = None) -> Ruling:
    """At the end no operation hangs, and no status stays unfinished.

    It hangs in a queue, unacked, on a worker, or in a status that never becomes final. The status is the one that
    is read after the drain. A status may be forgotten `expires` seconds after the work was done
    (`result_expires`), at once when it is 0: then PENDING is no status. Where the API did not tell the last status
    of work that is done, nobody knows. Work that is nowhere is lost, which is another promise's business. Work
    that nobody acknowledged and that was begun must not be left half done: "abandoned".
    """
    end, sample = history.drained, history.sample
    if end is None:
        return Ruling(doubt="no drain was run")
    places = sample.data.get("by_task", {}) if sample else {}
    found, works, unread = Findings(), 0, 0
    kept = None if expires is None else seconds(expires)
    for op in history.ops.values():
        works += op.works
        unread += op.works and bool(op.of("unread")) and bool(_over(op))
        if not op.works or (kind_how := _hangs(history, op, places, end, kept)) is None:
            continue
        kind, how, core = kind_how
        proved = witness(*(core or (sample,)), end, about=op, history=history)
        sentence = f"Operation {op.key} {how} when the drain had ended."
        found.add(Anomaly(kind, sentence, op.key, op.tasks[0] if op.tasks else None, proved), cut_short(history))
    doubt = "" if works else "no operation asked for work"
    if unread:
        doubt = f"the API did not answer when it was asked for the last status of {unread} operations that are done"
    if not end.data.get("ok") and not found.sure and not found.doubts:
        doubt = history.blind or "the drain did not end, and nothing shows where the rest is"
    return found.ruling(doubt=doubt)


def _over(op: Operation) -> tuple[Event, ...]:
    return op.effects or tuple(filter(is_over, op.events))


def _hangs(
    history: History, op: Operation, places: dict[str, str], end: Event, expires: float | None
) -> tuple[str, str, tuple[Event, ...]] | None:
    over, last = _over(op), op.final
    if over:
        rank = RANK.get(state_of(last), 2) if last and last.at >= end.at else 2
        forgotten = expires is not None and rank == 0 and last and last.at - over[-1].at >= expires * NS
        if last and rank < 2 and not forgotten:
            return "stuck", f"is done and still says {state_of(last)}", (over[0], last)
        return None
    where = next((places[task] for task in op.tasks if task in places), None)
    if where:
        return "stuck", f"was still in {history.place(where)}", ()
    starts = op.of("started")
    if starts and not (last and RANK.get(state_of(last), 0) == 2):
        if not end.data.get("ok"):
            on = starts[-1].source
            dead = history.changed.get(on, -1) > starts[-1].at
            how = f"had been started on {on}, which has ended since" if dead else f"was still running on {on}"
            return "stuck", how, starts[-1:]
        if not op.accepted:
            return "abandoned", f"had been started on {starts[-1].source} and was neither done nor failed", starts[-1:]
    return None


@checker(anomalies=("backlog",), timed=("backlog",))
def backlog_within(history: History, most: int) -> Ruling:
    """No more than so many messages ever wait.

    No look into the broker finds more than `most` messages in its queues. In doubt when, while the queue grew, the
    processes waited for a CPU for as long as it was then over `most`.
    """
    samples = history.kind("sample")
    lengths = [sum(sample.data.get("queues", {}).values()) for sample in samples]
    over_at = next((n for n, length in enumerate(lengths) if length > most), None)
    if over_at is None:
        why = f"at most {max(lengths, default=0)} waited"
        doubt = "" if samples else history.blind or "nobody looked into the broker"
        return Ruling(doubt=doubt, why=why)
    sentence = f"{lengths[over_at]} messages waited in the queues; the limit is {most}."
    invoke = [event for event in history.kind("invoke") if event.at <= samples[over_at].at][-1:]
    proved = witness(*samples[max(0, over_at - 1) : over_at + 1], *invoke, history=history)
    found = Findings()
    empty = next((samples[n].at for n in range(over_at - 1, -1, -1) if not lengths[n]), history.events[0].at)
    calm = next((n for n in range(over_at, len(lengths)) if lengths[n] <= most), len(lengths) - 1)
    waited = busy(history, empty, samples[over_at].at)
    lasted = samples[calm].at - samples[over_at].at
    found.add(Anomaly("backlog", sentence, witness=proved), waited if waited >= lasted else 0)
    return found.ruling()
