"""The jobs of a trial: what became of each, where it is now, and the events that tell it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from brownout.check.verdict import Anomaly, Verdict
from brownout.history.operation import Operation, state_of
from brownout.history.view import History
from brownout.report.clean import clean
from brownout.report.facts.account import Step, account
from brownout.report.facts.case import Cause
from brownout.report.facts.lanes import Lanes
from brownout.report.facts.order import natural
from brownout.report.facts.whereabouts import Whereabouts, whereabouts
from brownout.report.page.chart import Try
from brownout.report.page.scale import Scale
from brownout.report.text.clock import length
from brownout.report.text.place import placed
from brownout.report.timeline import said

LISTED: Final = 300  # jobs in the table
DETAILED: Final = 60  # of them with all events
SHOWN: Final = 40  # events of a job: the first and the last of them


@dataclass(frozen=True)
class Happening:
    """An event of a job as a row. `faults` are the faults that were active; `mark` is set for the anomaly's cause."""

    at: str
    who: str
    what: str
    faults: str = ""
    mark: str = ""
    gap: bool = False  # the row stands for events that are left out


@dataclass(frozen=True)
class Job:
    """One job. `id` is its name on the page, `now` tells where it is at the end of the trial."""

    id: str
    key: str
    task: str
    path: str
    answer: str
    outcome: str
    effects: int
    status: str
    broken: tuple[str, ...] = ()
    now: tuple[tuple[str, str], ...] = ()
    happened: tuple[Happening, ...] = ()


def ids(history: History, example: str | None, verdicts: Sequence[Verdict]) -> dict[str, str]:
    """The id of each job that is listed, by its key: the example first, then the broken ones, then all others."""
    broken = {anomaly.key for verdict in verdicts for anomaly in verdict.anomalies}
    keys = sorted(history.ops, key=lambda key: (key != example, key not in broken, natural(key)))
    return {key: f"job{n}" for n, key in enumerate(keys[:LISTED], 1)}


def tries(history: History, ids: Mapping[str, str], scale: Scale) -> list[Try]:
    """All attempts of the clients, by their begin."""
    found = []
    for op in history.ops.values():
        for begin, end in op.tries:
            outcome = end.kind if end else "open"
            status = end.data.get("status") or end.data.get("error") or "" if end else "no answer"
            took = f" after {length(end.at - begin.at)}" if end else ""
            title = f"{op.key} {op.path}: {outcome} {status}{took}, sent {scale.since(begin.at)}"
            found.append(Try(begin.at, end.at if end else None, outcome, title, ids.get(op.key, "")))
    return sorted(found, key=lambda one: one.begin)


def jobs(
    history: History, lanes: Lanes, verdicts: Sequence[Verdict], ids: Mapping[str, str], scale: Scale, why: Cause | None
) -> list[Job]:
    """The jobs in the order of their ids; only the first of them have events. `why` is the cause for the first job."""
    broken: dict[str | None, dict[str, None]] = {}
    for verdict in verdicts:
        for anomaly in verdict.anomalies:
            expected = "expected: " if verdict.validity == "valid" else ""
            broken.setdefault(anomaly.key, {})[f"{expected}{anomaly.sentence}"] = None
    return [
        _job(
            id_,
            history.ops[key],
            history,
            lanes,
            tuple(broken.get(key, ())),
            scale,
            (why if why and not n else Cause(None)) if n < DETAILED else None,
        )
        for n, (key, id_) in enumerate(ids.items())
    ]


def _job(
    id_: str, op: Operation, history: History, lanes: Lanes, broken: tuple[str, ...], scale: Scale, why: Cause | None
) -> Job:
    last = op.outcomes[-1] if op.outcomes else None
    answer = f"{last.kind} {last.data.get('status') or last.data.get('error') or ''}" if last else "no answer"
    final = op.final
    made = {
        "id": id_,
        "key": op.key,
        "task": op.tasks[0] if op.tasks else "",
        "path": op.path,
        "answer": answer.strip(),
        "outcome": last.kind if last else "open",
        "effects": len(op.effects),
        "status": state_of(final) if final else "",
        "broken": broken,
    }
    if why is not None:
        where = whereabouts(history, lanes, op.key, None)
        own = [clean(op.key, 60), *(f"task {clean(task[:8])}" for task in op.tasks)]
        made["now"] = tuple(_now(where, scale))
        made["happened"] = tuple(happened(account(history, Anomaly("", "", op.key), why), history, scale, *own))
    return Job(**made)  # type: ignore[arg-type]  # the values have the types of their fields


def _now(where: Whereabouts, scale: Scale) -> Iterator[tuple[str, str]]:
    """Each place that knows of the job, and what it knows."""
    for line in list(placed(where, scale.zero))[1:]:  # the first line names the job
        name, _, what = line.partition(" ")
        yield name, what.strip()


def happened(steps: Sequence[Step], history: History, scale: Scale, *own: str) -> Iterator[Happening]:
    """The events of a job as rows; of very many, the first and the last. The names `own` of the job are left out."""
    names = re.compile(f" ({'|'.join(map(re.escape, own))})(?= |$)") if own else None
    left_out = len(steps) - SHOWN
    for n, step in enumerate(steps):
        if left_out > 0 and SHOWN // 2 <= n < SHOWN // 2 + left_out:
            if n == SHOWN // 2:
                yield Happening("", "", f"{left_out} more events", gap=True)
            continue
        event = step.event
        active = [window.text for window in history.faults if window.start.at <= event.at and
                  (window.stop is None or event.at <= window.stop.at)]  # fmt: skip
        what = names.sub("", said(step)) if names else said(step)
        yield Happening(scale.since(event.at), event.source, what, ", ".join(active), step.mark)
