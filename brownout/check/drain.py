"""At the end nothing is left over, and nothing hangs."""

from __future__ import annotations

from brownout.check.accounting import is_over
from brownout.check.interval import Findings
from brownout.check.verdict import NS, Anomaly, Verdict, judged, witness
from brownout.history.event import Event
from brownout.history.operation import RANK, Operation, state_of
from brownout.history.view import History
from brownout.plan.duration import text
from brownout.plan.promise import Promise


def _left(sample: Event) -> dict[str, int]:
    queues = {name: n for name, n in sample.data.get("queues", {}).items() if n}
    return queues | ({"unacked": sample.data["unacked"]} if sample.data.get("unacked") else {})


def cut_short(history: History) -> int:
    """0 when the drain came to its end, or had all the time that was promised to it; else the time (ns) it lacked.

    A drain goes on until its time has passed without that in which the processes waited for a CPU, but not for ever.
    """
    end = history.drained
    if end is None or end.data.get("ok") or "seconds" not in end.data:
        return 0
    return max(0, int((end.data["limit"] - (end.data["seconds"] - end.data["busy"])) * NS))


def drained(history: History, promise: Promise) -> Verdict:
    """Every queue and the unacked hash are empty when the drain has ended.

    An entry of `unacked_index` without its message is harmless (the next sweep drops it) and is only counted.
    """
    end, sample = history.drained, history.sample
    if end is None or sample is None:
        blind = history.blind or "nobody looked into the broker"
        return judged(promise, doubt="no drain was run" if end is None else blind)
    left = _left(sample)
    if not left and end.data.get("ok"):
        return judged(promise, why=f"unacked_index holds {sample.data.get('unacked_index', 0)}")
    places = ", ".join(f"{n} in {history.place(name)}" for name, n in left.items())
    what = places or str(end.data.get("left") or "something")
    readers = history.readers[-1:] if any(map(history.unread, left)) else ()
    proved = witness(*readers, *history.kind("sample")[-2:], end, history=history)
    found = Findings()
    lasted = f" after {text(round(end.data['seconds'], 3))}" if "seconds" in end.data else ""
    sentence = f"Work was left over when the drain ended{lasted}: {what}."
    found.add(Anomaly("undrained", sentence, witness=proved), cut_short(history))
    return found.verdict(promise)


def nothing_stuck(history: History, promise: Promise) -> Verdict:
    """No operation hangs at the end: in a queue, unacked, on a worker, or in a status that never becomes final.

    The status is the one that is read after the drain. A result may be forgotten `expires` seconds after the work was
    done: then PENDING is no status. Where the API did not tell the last status of work that is done, nobody knows.
    Work that is nowhere is lost, which is another promise's business. Work that nobody acknowledged and that was begun
    must not be left half done: "abandoned".
    """
    end, sample = history.drained, history.sample
    if end is None:
        return judged(promise, doubt="no drain was run")
    places = sample.data.get("by_task", {}) if sample else {}
    found, works, unread = Findings(), 0, 0
    expires = promise.args.get("expires")
    for op in history.ops.values():
        works += op.works
        unread += op.works and bool(op.of("unread")) and bool(_over(op))
        if not op.works or (kind_how := _hangs(history, op, places, end, expires)) is None:
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
    return found.verdict(promise, doubt=doubt)


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
