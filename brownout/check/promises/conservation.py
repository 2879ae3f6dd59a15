"""Every event belongs to an operation, and the numbers of events add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from brownout.check.registry import checker
from brownout.check.verdict import Anomaly, Ruling, witness
from brownout.history.view import History


@checker(anomalies=("phantom", "orphan"))
def conservation(history: History, *, besides: Iterable[str] = ()) -> Ruling:
    """Every event belongs to an operation. `besides` names effects that no client asked for.

    The number of `invoke` events is the number of `ok`, `fail` and `info` events together. Every outcome belongs to an
    operation that a client sent, and every effect has an operation that may have caused the effect. An effect of an
    operation that was definitely refused is a "phantom". An effect that belongs to no operation is a "phantom", too,
    unless it may belong to an operation whose outcome is unknown (`info`) and whose client did not learn the task's id.
    List in `besides` the effects of tasks that Celery's beat sends.
    """
    unasked, ops, anomalies = set(besides), history.ops, []
    outcomes = Counter(event.kind for event in history.kind("ok", "fail", "info"))
    for event in history.kind("ok", "fail", "info"):
        if event.key not in ops:
            sentence = f"The outcome '{event.kind}' of {event.key} has no invoke."
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
        if op.refused and op.effects and op.effects[0].data.get("name") not in unasked:
            sentence = f"Operation {op.key} was refused, but it took effect."
            proved = witness(op.invoke, op.outcomes[0], op.effects[0], history=history)
            anomalies.append(Anomaly("phantom", sentence, op.key, op.effects[0].task, proved))
    strays = [
        event
        for event in history.kind("effect")
        if (event.key or history.key_of.get(event.task or "")) not in ops and event.data.get("name") not in unasked
    ]
    # An effect without a key may belong to an operation whose outcome is unknown (`info`) and whose client never learnt
    # the task's id.
    unknown = sum(1 for op in ops.values() if op.works and not op.tasks and not op.refused)
    keyed = [event for event in strays if event.key]
    keyless = list({event.task or id(event): event for event in strays if not event.key}.values())
    for event in [*keyed, *(keyless if len(keyless) > unknown else ())]:
        sentence = f"An effect of {event.key or event.task or 'an unknown task'} belongs to no operation."
        proved = witness(event, *history.by_task.get(event.task or "", ())[:3], history=history)
        anomalies.append(Anomaly("phantom", sentence, event.key, event.task, proved))
    invoked = len(history.kind("invoke"))
    why = f"{invoked} invoked = " + " + ".join(f"{outcomes[kind]} {kind}" for kind in ("ok", "fail", "info"))
    missing = invoked - sum(outcomes.values())
    doubt = "no operation was invoked" if not ops else f"{missing} operations have no outcome" if missing > 0 else ""
    return Ruling(anomalies, doubt=doubt, why=why)
