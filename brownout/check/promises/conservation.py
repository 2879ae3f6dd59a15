"""Nothing comes from nowhere: every row joins, and the sums agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from brownout.check.registry import checker
from brownout.check.verdict import Anomaly, Ruling, witness
from brownout.history.view import History


@checker(anomalies=("phantom", "orphan"))
def conservation(history: History, *, besides: Iterable[str] = ()) -> Ruling:
    """Every record joins to an operation; `besides` names effects that no client asked for.

    Invoked = ok + fail + info, every outcome has its invoke, and every effect has an operation that may cause it.
    An effect of an operation that was definitely refused is a "phantom", and so is one that joins to nothing,
    unless it may belong to an `info` operation whose task id nobody learnt. Effects of beat's tasks belong in
    `besides`.
    """
    others, ops, anomalies = set(besides), history.ops, []
    outcomes = Counter(event.kind for event in history.kind("ok", "fail", "info"))
    for event in history.kind("ok", "fail", "info"):
        if event.key not in ops:
            sentence = f"An outcome '{event.kind}' for {event.key} has no invoke."
            anomalies.append(
                Anomaly(
                    "orphan",
                    sentence,
                    event.key,
                    event.task,
                    witness(event, *history.kind("invoke")[:1], history=history),
                )
            )
    for op in ops.values():
        tries, ends = op.of("invoke"), op.outcomes
        if len(ends) > len(tries):
            sentence = f"Operation {op.key} was invoked {len(tries)} times and has {len(ends)} outcomes."
            proved = witness(*tries[:1], *ends[: len(tries) + 1], history=history)
            anomalies.append(Anomaly("orphan", sentence, op.key, witness=proved))
        if op.refused and op.effects and op.effects[0].data.get("name") not in others:
            sentence = f"Operation {op.key} was refused and took effect all the same."
            proved = witness(op.invoke, op.outcomes[0], op.effects[0], history=history)
            anomalies.append(Anomaly("phantom", sentence, op.key, op.effects[0].task, proved))
    strays = [
        event
        for event in history.kind("effect")
        if (event.key or history.key_of.get(event.task or "")) not in ops and event.data.get("name") not in others
    ]
    # A stray without a key may be the work of a task whose id an indeterminate operation never learnt.
    unknown = sum(1 for op in ops.values() if op.works and not op.tasks and not op.refused)
    keyed = [event for event in strays if event.key]
    free = list({event.task or id(event): event for event in strays if not event.key}.values())
    for event in [*keyed, *(free if len(free) > unknown else ())]:
        sentence = f"An effect of {event.key or event.task or 'nobody'} belongs to no operation."
        proved = witness(event, *history.by_task.get(event.task or "", ())[:3], history=history)
        anomalies.append(Anomaly("phantom", sentence, event.key, event.task, proved))
    invoked = len(history.kind("invoke"))
    why = f"{invoked} invoked = " + " + ".join(f"{outcomes[kind]} {kind}" for kind in ("ok", "fail", "info"))
    open_ = invoked - sum(outcomes.values())
    doubt = "no operation was invoked" if not ops else f"{open_} operations have no outcome" if open_ > 0 else ""
    return Ruling(anomalies, doubt=doubt, why=why)
