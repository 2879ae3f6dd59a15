"""A map's promises about one operation: it takes effect once, its caller learns the truth, and the workers go on
working."""

from __future__ import annotations

from typing import Literal

from brownout.check.registry import checker
from brownout.check.verdict import Anomaly, Ruling, witness
from brownout.history.event import Event
from brownout.history.life import Life
from brownout.history.view import History

Proof = Literal["effect", "ended"]
SUCCESS = frozenset({"SUCCESS"})


def _life(history: History, proof: Proof) -> Life:
    return Life.of(history, by_effect=proof == "effect")


def _doubt(life: Life) -> str:
    return "" if life.settled else "the trial ended before the operation was settled"


def _answered(life: Life) -> str:
    """Return how the operation was answered, as words that can follow "was" in a sentence. After an HTTP 5xx or a
    broken connection nobody knows whether the operation was done."""
    if life.answered == "waiting":
        return "never answered"
    if life.answered != "unknown":
        return life.answered
    status = life.answer.data.get("status") if life.answer else None
    return f"answered {status}" if status else "not answered"


def _anomaly(life: Life, history: History, kind: str, sentence: str, *core: Event | None) -> Anomaly:
    task = life.tasks[0] if life.tasks else None
    proved = witness(life.invoke, life.answer, *core, life.settled, history=history)
    return Anomaly(kind, f"The operation {sentence}.", life.invoke.key if life.invoke else None, task, proved)


def _counts(life: Life) -> str:
    return ", ".join(f"{name} took effect {life.effects[name]} times" for name in life.wanted)


@checker(anomalies=("duplicate", "stuck", "lost", "duplicate-later"))
def took_effect_once(history: History, *, proof: Proof = "effect") -> Ruling:
    """An accepted operation takes effect exactly once, and leaves no message.

    An operation without an answer need not take effect, unless the application's own store has its job. An
    operation without an answer must not take effect twice, and it must not leave a message that lets it take
    effect again. Set `proof` to "ended" for tasks that record no effect.
    """
    life = _life(history, proof)
    if life.invoke is None:
        return Ruling(doubt="the operation was not sent")
    anomalies: list[Anomaly] = []
    left = ", ".join(sorted(set(life.left.values())))
    obliged = life.obliged or (life.answered == "waiting" and bool(life.left))
    record = life.record if life.answered == "unknown" else []
    silent = life.answered == "waiting" and life.consumes is not None and not life.consumes.data["ok"]
    if life.repeated:
        how = f"was done more than once: {_counts(life)}"
        anomalies.append(_anomaly(life, history, "duplicate", how, *life.repeated))
    elif life.missing and life.left and obliged:
        how = f"was not done, and its message is still in {left}"
        anomalies.append(_anomaly(life, history, "stuck", how, life.sample, *record))
    elif life.missing and not life.left and (life.obliged or silent):
        how = f"was {_answered(life)}, was not done, and its message is nowhere"
        proved = (life.sample, life.consumes) if silent else (life.sample, *record)
        anomalies.append(_anomaly(life, history, "lost", how, *proved))
    elif life.left and not life.missing and life.answered != "refused":
        how = f"was done, but its message is still in {left}, so it will be done again"
        anomalies.append(_anomaly(life, history, "duplicate-later", how, *life.firsts, life.sample))
    return Ruling(anomalies, doubt=_doubt(life), why=_counts(life))


@checker(anomalies=("hangs", "misreported", "unread"))
def told_truly(history: History, *, proof: Proof = "effect") -> Ruling:
    """The caller gets an answer and the result, and both say what really happened.

    A refusal must mean that nothing was done. A stored result must say what was done. The application's own store
    must have a row for a job that is queued or done, even when the caller got no answer.
    """
    life = _life(history, proof)
    if life.invoke is None:
        return Ruling(doubt="the operation was not sent")
    anomalies: list[Anomaly] = []
    traces = [*life.own[:1], *([life.sample] if life.left else [])]
    stored = frozenset(life.stored.data["states"]) if life.stored else frozenset()
    if life.answered == "refused" and traces:
        how = "was refused, but it was done or is queued"
        anomalies.append(_anomaly(life, history, "misreported", how, *traces))
    elif life.answered == "unknown" and life.recorded is False and traces:
        how = "was done or is queued, but the application's own store has no record of the operation"
        anomalies.append(_anomaly(life, history, "misreported", how, *traces, *life.record))
    elif life.answered == "waiting":
        anomalies.append(_anomaly(life, history, "hangs", "was never answered: its caller still waits"))
    elif life.answered == "accepted" and not life.missing:
        says = " and ".join(sorted(stored)) or "no final state"
        if stored != SUCCESS:
            how = f"was done, but its stored result says {says}"
            anomalies.append(_anomaly(life, history, "misreported", how, *life.firsts, life.stored))
        elif life.told in ("unread", "waiting"):
            how = "was done and its result is stored, but its caller cannot read the result"
            anomalies.append(_anomaly(life, history, "unread", how, *life.firsts, life.telling, life.stored))
    return Ruling(anomalies, doubt=_doubt(life))


@checker(anomalies=("worker-dead",))
def workers_survive(history: History) -> Ruling:
    """No worker ends by itself. A worker that asks its supervisor for a restart has not failed."""
    life = Life.of(history)
    dead = [event for event in life.exits if event.source.startswith("worker")]
    anomalies = [
        Anomaly(
            "worker-dead",
            f"{event.source} ended by itself with exit code {event.data['code']}.",
            witness=witness(event, history=history),
        )
        for event in dead[:1]
    ]
    return Ruling(anomalies, doubt="" if history.kind("ready", source="worker") else "no worker was ready")


@checker(anomalies=("silent",))
def workers_consume(history: History) -> Ruling:
    """At the end of the trial a new task is done, and each of several workers asks for messages."""
    life = Life.of(history)
    if life.consumes is None:
        return Ruling(doubt="the trial did not check whether a worker consumes")
    if life.consumes.data["ok"]:
        return Ruling()
    sentence = f"A worker is alive but does not consume: {life.consumes.data['why']}."
    return Ruling([Anomaly("silent", sentence, witness=witness(life.consumes, history=history))])
