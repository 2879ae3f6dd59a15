"""No checker cries wolf: generated histories of legal trials raise no alarm, and what is planted in them is found."""

from __future__ import annotations

import dataclasses

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brownout.check import promises as p
from brownout.check.registry import judge
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.promise import Promise
from tests.unit.check_specimens import MS, TASK, Story, key, task

BOUND = 5_000
"""Milliseconds after which everything legal is done."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """One operation and what befell it; all of it is legal for at-least-once delivery with a guarded effect."""

    outcome: str  # ok, or: lost answer, 5xx, refused before anything was done
    asked: int  # times the client sent it with the same key
    arrives: bool  # of an indeterminate operation: whether the work was taken up at all
    retries: int
    crashed: bool  # a first body was begun and its worker killed
    interrupted_after_effect: bool  # killed between effect and ack: delivered again, and the guard held
    resent: bool  # kombu published it twice, same task id, not marked as redelivered
    waits: int
    fails: bool  # its body raises for good
    fails_first: bool  # a FAILURE is stored, then a redelivery succeeds
    keyed: bool  # the effect's record knows the key; else it knows the task alone
    polls: int


def shape(bits: int) -> Shape:
    """A shape from one number: drawing a dozen fields one by one costs ten times as much; 0 is the plainest."""

    def take(choices: int) -> int:
        nonlocal bits
        bits, value = divmod(bits, choices)
        return value

    outcome = ("ok", "ok", "ok", "ok", "ok", "cut", "500", "422")[take(8)]
    fails = take(4) == 3
    flags = {f.name: bool(take(2)) for f in dataclasses.fields(Shape) if f.type == "bool" and f.name != "fails"}
    return Shape(
        outcome=outcome, asked=1 + take(2), retries=take(4), polls=take(4), waits=take(1500), fails=fails, **flags
    )


SHAPES = st.integers(0, 8 * 4 * 2**6 * 2 * 4 * 4 * 1500 - 1).map(shape)

HELD: tuple[Promise, ...] = (
    p.at_least_once(within="5s"),
    p.at_least_once(accounting=True),
    p.at_least_once(proof="ended"),
    p.effectively_once(),
    p.at_most_once(),
    p.at_most_once(by="task"),
    p.drained(),
    p.nothing_stuck(),
    p.status_monotone(),
    p.status_truthful(),
    p.attempts_within(3),
    p.backoff_within(factor=1),
    p.no_cross_talk(),
    p.loop_never_stalls(),
    p.nothing_raised(),
    p.recovers(within="5s"),
    p.graceful(within="1s"),
    p.conservation(),
    p.faults_acted(),
    p.backlog_within(100),
)


def tell(story: Story, n: int, at: float, shape: Shape) -> None:
    """Let one operation happen."""
    status = {"ok": 202, "cut": None, "500": 500, "422": 422}[shape.outcome]
    kind = {"ok": "ok", "422": "fail"}.get(shape.outcome, "info")
    for again in range(shape.asked):
        story.post(at + 30 * again, key(n), task(n), kind, status)
    if shape.outcome == "422" or (kind == "info" and not shape.arrives):
        return
    name = key(n) if shape.keyed or kind == "info" else None
    time = at + 12 + shape.waits
    worker = "worker-2"
    story.deliver(time, task(n))
    if shape.resent:
        story.deliver(time + 1, task(n), worker)
    if shape.crashed:  # the child alone, or the main process too
        story.say(time + 2, "worker-1", "started", task=task(n), name=TASK, retries=0)
        if shape.waits % 2:
            story.say(time + 2, "worker-1", "exit", code=-9)
            story.say(time + 3, "worker-1", "ready")
    for attempt in range(shape.retries):
        story.deliver(time + 3, task(n), worker, retries=attempt)
        story.retry(time + 4, task(n), worker, retries=attempt, countdown=n % (2**attempt + 1))
        time += 20
    tried = shape.retries
    reads = ["PENDING", "STARTED", "STARTED"]
    for poll in range(shape.polls):
        story.say(time + poll, "client", "read", key(n), task(n) if kind == "ok" else None, state=reads[poll])
    story.deliver(time + 3, task(n), worker, tried, redelivered=shape.crashed)
    final = "SUCCESS"
    if shape.fails or shape.fails_first:
        story.say(time + 5, worker, "started", task=task(n), name=TASK, retries=tried)
        story.say(time + 6, worker, "failed", task=task(n), name=TASK, error="WorkerLostError")
        story.say(time + 7, worker, "ended", task=task(n), name=TASK, state="FAILURE", retries=tried)
        story.say(time + 8, "client", "read", key(n), state="FAILURE")
        final = "FAILURE"
    if not shape.fails:
        if shape.interrupted_after_effect:
            story.say(time + 10, worker, "started", task=task(n), name=TASK, retries=tried)
            story.say(time + 60, "effects", "effect", name, task(n), name="processed")
            story.deliver(time + 70, task(n), worker, tried, redelivered=True)
            story.say(time + 71, worker, "started", task=task(n), name=TASK, retries=tried)
            story.say(time + 72, worker, "ended", task=task(n), name=TASK, state="SUCCESS", retries=tried)
        else:
            story.run(time + 10, task(n), worker, tried, key=name)
            if shape.resent:
                story.say(time + 11, "worker-1", "started", task=task(n), name=TASK, retries=tried)
                story.say(time + 80, "worker-1", "ended", task=task(n), name=TASK, state="SUCCESS", retries=tried)
        final = "SUCCESS"
    if shape.polls:
        story.say(time + 90, "client", "read", key(n), state=final, result={"echo": key(n)})


def legal(shapes: list[Shape], begin: int, lasts: int) -> History:
    """A trial of these operations, 40 ms apart, with one fault among them."""
    story = Story()
    story.say(0, "api", "ready", watch=True)
    story.say(1, "worker-1", "ready")
    story.say(1, "worker-2", "ready")
    story.fault(10 + begin, 12 + begin + lasts)
    for n, shape in enumerate(shapes):
        tell(story, n, 20 + 40 * n, shape)
    end = 20 + 40 * len(shapes) + BOUND
    story.say(end - 300, "worker-1", "shutting-down", how="Warm")
    story.say(end - 250, "worker-1", "exit", code=0)
    story.sample(end - 200)
    story.sample(end - 100)
    story.say(end, "run", "drained", ok=True, left={})
    for n, shape in enumerate(shapes):
        if shape.polls and shape.outcome == "ok":
            last = [e for e in story.events if e.kind == "read" and e.key == key(n)][-1]
            story.events.append(dataclasses.replace(last, at=(end + n + 1) * MS))
    return story.history


LEGAL = st.builds(legal, st.lists(SHAPES, min_size=1, max_size=6), st.integers(0, 120), st.integers(5, 60))
FEW = (HealthCheck.too_slow, HealthCheck.data_too_large)


@settings(max_examples=1000, deadline=None, suppress_health_check=FEW)
@given(LEGAL)
def test_a_legal_history_raises_no_alarm(history: History) -> None:
    answered = all(end and end.data["status"] for op in history.ops.values() for _, end in op.tries)
    extra = (p.answers({202, 422, 500}, within="1s"),) * answered
    verdicts = [judge(history, promise) for promise in (*HELD, *extra)]
    assert [v for v in verdicts if v.validity == "invalid"] == []
    assert not any("the checker raised" in v.why for v in verdicts), verdicts
    if any(op.accepted for op in history.ops.values()):
        # Silence is not enough: what was acknowledged and done is said to be so.
        silent = ("proof=", "nothing took effect")
        assert verdicts[0].validity == "valid" or any(why in verdicts[0].why for why in silent), verdicts[0]


def _finds(history: History, promise: Promise, kind: str, name: str) -> bool:
    return any(a.kind == kind and a.key == name for a in judge(history, promise).anomalies)


@settings(max_examples=300, deadline=None, suppress_health_check=FEW)
@given(LEGAL, st.data())
def test_what_is_planted_in_a_legal_history_is_found(history: History, data: st.DataObject) -> None:
    accepted = [op for op in history.ops.values() if op.accepted]
    refused = [op for op in history.ops.values() if op.refused]
    done = [op for op in accepted if op.effects]
    if refused:
        name = data.draw(st.sampled_from(refused)).key
        ghost = Event(4_000 * MS, "effects", "effect", name, None, 1, {"name": "processed"})
        assert _finds(History([*history, ghost]), p.conservation(), "phantom", name)
    if accepted:
        op = data.draw(st.sampled_from(accepted))
        gone = {id(e) for e in op.events if e.kind not in ("invoke", "ok", "fail", "info")}
        rest = [e for e in history if id(e) not in gone]
        assert _finds(History(rest), p.at_least_once(within="5s"), "lost", op.key)
        no_drain = History(e for e in rest if e.kind != "drained")
        assert _finds(no_drain, p.at_least_once(accounting=True), "lost", op.key)
        assert judge(no_drain, p.at_least_once(within="60s")).validity == "unknown"
    if done:
        op = data.draw(st.sampled_from(done))
        first = op.effects[0]
        twice = History([*history, dataclasses.replace(first, at=first.at + 3 * MS, pid=7)])
        for promise in (p.effectively_once(), p.at_most_once(), p.at_most_once(by="task")):
            assert _finds(twice, promise, "duplicate", op.key)
        lie = History([*(e for e in history if e.kind != "effect" or e is not first)])
        said = any(e.kind == "read" and e.data["state"] == "SUCCESS" for e in op.events)
        if said and lie.by_kind.get("effect"):
            assert _finds(lie, p.status_truthful(), "misreported", op.key) or len(op.effects) > 1
