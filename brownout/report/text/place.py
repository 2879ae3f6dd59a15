"""Says where the example job is now: store, broker, worker, last status, and who published it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from brownout.report.clean import clean
from brownout.report.facts.defaults import named_default
from brownout.report.facts.whereabouts import Publish, Whereabouts, is_unacked
from brownout.report.text.clock import NS, length, since

_HOLDS = {
    "alive": "still has it, and is alive",
    "frozen": "still has it, and is frozen",
    "ended": "ended before it had finished it",
    "unknown": "did not finish it",
}
FIELDS = 8  # fields of a row that are shown at most


def placed(where: Whereabouts, zero: int) -> Iterator[str]:
    """Where a job is, as lines. What nobody told is left out."""
    task = f", task {clean(where.task[:8])}" if where.task and where.task != where.key else ""
    task += f" ({clean(where.called, 60)})" if where.called else ""
    yield f"{clean(where.key or where.task or 'the job', 60)}{task}, at the end of the trial ({since(where.at - zero)})"
    if where.row is not None:
        yield f"row      {_row(where)}"
    if where.place is not None:
        yield f"broker   {_broker(where)}"
    if where.task is None:
        yield "worker   unknown: no event names a task of it"
        return
    yield f"worker   {_worker(where, zero)}"
    if where.status and where.status_at is not None:
        by = "; the status was judged by the key" if where.by_key else ""
        yield f"status   {clean(where.status, 40)}, read last at {since(where.status_at - zero)}{by}"
    if where.publishes is not None:
        yield f"publish  {_published(where.publishes, zero)}"


def _row(where: Whereabouts) -> str:
    if not where.row:
        return "none: the application's own store has no row for it"
    fields = [f"{clean(name, 40)} {clean(value, 60)}" for name, value in [*where.row.items()][:FIELDS]]
    return ", ".join(fields)


def _broker(where: Whereabouts) -> str:
    others = ", ".join(f"{clean(name, 40)} {count}" for name, count in where.queues.items())
    totals = f"{others}{', ' if others else ''}unacked {where.unacked}"
    if not where.place:
        return f"in no queue and not unacked (all messages: {totals})"
    if not is_unacked(where.place):
        return f"in queue {clean(where.place, 60)} (all messages: {totals})"
    again = "" if where.returns is None else f"; kombu delivers it again after {length(int(where.returns * NS))}"
    default = named_default("unacked", where.returns or 0)
    return f"unacked (all messages: {totals}){again}{f' ({default})' if default else ''}"


def _worker(where: Whereabouts, zero: int) -> str:
    if not where.deliveries:
        return "no worker ever received it"
    last = where.deliveries[-1]
    times = "once" if len(where.deliveries) == 1 else f"{len(where.deliveries)} times"
    pid = f" (pid {last.pid})" if last.pid else ""
    text = f"received {times}, last by {clean(last.worker, 20)}{pid} at {since(last.at - zero)}"
    effects = f"; it took effect {'once' if where.effects == 1 else f'{where.effects} times'}" if where.effects else ""
    holds = f"; {clean(where.holder, 20)} {_HOLDS[where.state]}" if where.holder else ""
    return f"{text}{effects}{holds}"


def _published(publishes: tuple[Publish, ...], zero: int) -> str:
    if not publishes:
        return "no process tried to"
    texts = []
    for source, group in groupby(publishes, key=lambda publish: publish.source):
        own = list(group)
        failed = sum(publish.done is None for publish in own)
        times = f" {len(own)} times from" if len(own) > 1 else " at"
        how = "" if not failed else " (failed)" if failed == len(own) == 1 else f" ({failed} failed)"
        slow = max((publish.done - publish.at for publish in own if publish.done is not None), default=0)
        how += f" (took {length(slow)})" if slow > 200_000_000 else ""
        texts.append(f"{clean(source, 20)}{times} {since(own[0].at - zero)}{how}")
    more = f", then {len(texts) - 4} more processes in turn" if len(texts) > 4 else ""
    return f"{', then '.join(texts[:4])}{more}"
