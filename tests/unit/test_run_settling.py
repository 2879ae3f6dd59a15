"""When a trial is at its end: on a clock of paper, with a wire and a broker of paper."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis.exceptions import RedisError

from brownout.history.event import Event
from brownout.history.life import PROBE, Life
from brownout.plan.operation import Call, Http, Operation, Tick
from brownout.plan.settle import Settle
from brownout.run.phases import settling as module
from brownout.run.phases.settling import LOOK, QUIET, SURE, OnWire, Settling, push_copy
from brownout.subject.fair import FairTime
from tests.unit.lives import KEY, TASK

CALL, REQUEST = Call("tasks.work"), Http("POST", "/jobs")
SETTLE = Settle(warm=CALL, held=2.0, probe=3.0, result=4.0, recover=0.0, republished=0.0, limit=30.0, still=10.0)
NOBODY = 2**22 + 1  # no process has this number


@dataclass
class Stage:
    """Everything that a Settling looks at, as the test wants it. `late` is how long each look comes too late (s)."""

    operation: Operation = CALL
    settle: Settle = SETTLE
    faulted: bool = True
    workers: tuple[str, ...] = ("worker-1",)
    active: bool = False  # a fault is on
    broker: bool = True  # it answers
    pushes: bool = True  # it takes the probe
    starved: bool = False  # nobody has a CPU
    now: float = 100.0
    wire: OnWire = field(default_factory=lambda: OnWire(False, {}, False, True))
    killed: dict[str, float] = field(default_factory=dict)
    probes: list[str] = field(default_factory=list)
    ticks: int = 0
    life: Life = field(default_factory=Life)

    def __post_init__(self) -> None:
        fair = FairTime(clock=lambda: self.now, delays=self)
        clients = SimpleNamespace(give_up=self._give_up, tick=self._tick, call=self._call)
        self.made = Settling(
            self.settle,
            self.operation,
            self.life,
            cast("Any", clients),
            fair,
            faulted=self.faulted,
            workers=self.workers,
            wire=lambda: self.wire,
            active=lambda: self.active,
            look=lambda: Event(0, "broker", "sample" if self.broker else "sample-failed"),
            push=self._push,
            born=lambda _: 50.0,
            killed=lambda worker: self.killed.get(worker, 0.0),
        )
        self.polls(101.0)
        self.see("client", "invoke", KEY, op="http" if isinstance(self.operation, Http) else "call")

    def take(self, pids: Iterable[int]) -> dict[int, int]:
        """See Delays."""
        return dict.fromkeys(pids, 10**12 if self.starved else 0)

    def see(self, source: str, kind: str, key: str | None = None, task: str | None = None, **data: Any) -> None:
        """An event comes."""
        self.life.see([Event(int(self.now * 1e9), source, kind, key, task, data.pop("pid", 0), data)])

    def accepted(self) -> None:
        self.see("client", "ok", KEY, TASK)

    def effect(self, task: str = TASK, key: str | None = None) -> None:
        self.see("effects", "effect", key, task)

    def told(self) -> None:
        self.see("client", "read", KEY, state="SUCCESS")

    def lies(self, *places: str) -> None:
        self.see("broker", "sample", by_task={f"{TASK}-{n}": place for n, place in enumerate(places)})

    def well(self) -> None:
        """The operation is accepted, done, and its result is read."""
        self.accepted()
        self.effect()
        self.told()

    def polls(self, at: float) -> None:
        """All workers asked for messages at that time."""
        self.wire = replace(self.wire, polled={f"{worker}->broker": at for worker in self.workers})

    def _give_up(self, key: str, why: str) -> None:
        self.see("client", "unread", key, error=why)

    def _tick(self, key: str) -> None:
        self.ticks += 1
        self.see("client", "ok", key)

    def _call(self, operation: Operation, key: str, _n: int, _intended: int) -> None:
        assert operation == self.operation
        self.probes.append(key)

    def _push(self, task: str) -> bool:
        if self.pushes:
            self.probes.append(task)
            self.see("client", "invoke", f"{PROBE}-{len(self.probes)}", task, op="probe")
        return self.pushes

    def consumed(self) -> None:
        """The newest probe is done, and its worker asks for more."""
        self.effect(self.probes[-1])
        self.polls(self.now)

    def over(self, within: float = 60.0, until: Callable[[], object] = lambda: False) -> float:
        """Look until it is over or something else is true; the seconds that this took, -1 when neither happened."""
        begin = self.now
        while self.now - begin < within:
            if self.made.over() or until():
                return self.now - begin
            self.now += LOOK
        return -1.0


@pytest.fixture(autouse=True)
def paper_time(monkeypatch: pytest.MonkeyPatch) -> list[Stage]:
    """The module's clock is that of the stage that was made last."""
    stages: list[Stage] = []
    made = Stage.__post_init__

    def begin(stage: Stage) -> None:
        stages.append(stage)
        made(stage)

    clock = SimpleNamespace(monotonic=lambda: stages[-1].now, monotonic_ns=lambda: int(stages[-1].now * 1e9))
    monkeypatch.setattr(Stage, "__post_init__", begin)
    monkeypatch.setattr(module, "time", clock)

    class Thread:
        """Runs at once."""

        def __init__(self, target: Callable[..., None], args: tuple[Any, ...], **_: object) -> None:
            self.start = lambda: target(*args)

    monkeypatch.setattr(module, "threading", SimpleNamespace(Thread=Thread))
    return stages


# --- without a fault


def test_a_life_without_a_fault_is_over_when_all_is_well_and_stays_so() -> None:
    stage = Stage(faulted=False)
    stage.accepted()
    assert stage.over(within=1) == -1
    stage.effect()
    assert stage.over(within=1) == -1
    stage.told()
    assert SURE < stage.over() < SURE + 3 * LOOK
    assert stage.probes == []
    assert stage.made.consuming, "without a fault there is no probe"


def test_a_message_between_two_places_is_nowhere_for_a_moment() -> None:
    stage = Stage(faulted=False)
    stage.well()
    assert stage.over(within=SURE / 2) == -1
    stage.lies("unacked")
    assert stage.over(within=5) == -1
    stage.lies()
    assert stage.over() > SURE


def test_a_broker_that_cannot_be_looked_into_settles_nothing() -> None:
    stage = Stage(faulted=False, broker=False)
    stage.well()
    assert stage.over(within=20) == -1
    stage.broker = True
    assert stage.over() > SURE


def test_its_limit_ends_every_trial() -> None:
    stage = Stage()
    assert stage.over(within=100) == pytest.approx(SETTLE.limit, abs=0.1)


# --- the probe


def test_a_probe_is_sent_when_all_is_well_and_its_effect_ends_the_trial() -> None:
    stage = Stage()
    stage.well()
    assert stage.over(until=lambda: stage.probes) < SURE + 3 * LOOK
    assert stage.over(within=SETTLE.probe - 1) == -1
    assert not stage.made.consuming
    stage.consumed()
    assert stage.over() < SURE + 3 * LOOK
    assert stage.made.consuming


def test_a_worker_that_does_not_take_the_probe_does_not_pass_for_one_that_consumes() -> None:
    stage = Stage()
    stage.well()
    assert stage.over() == pytest.approx(SETTLE.probe, abs=0.2)
    assert (stage.made.consuming, len(stage.probes)) == (False, 1)
    assert stage.made.silence == "a probe task, sent when nothing changed any more, was not done within 3 s"


def test_no_probe_is_sent_before_the_fault_has_struck() -> None:
    """Whatever does not move: the point may still be reached."""
    stage = Stage()
    stage.wire = replace(stage.wire, struck=0)
    stage.accepted()
    assert stage.over(within=20) == -1
    assert stage.probes == []
    stage.wire = replace(stage.wire, struck=1)
    assert stage.over(until=lambda: stage.probes) < QUIET + 3 * LOOK, "a strike is a change"


def test_nothing_ends_while_a_fault_is_on() -> None:
    stage = Stage(active=True)
    stage.well()
    assert stage.over(within=20) == -1
    assert stage.probes == []
    stage.active = False
    assert SURE - LOOK < stage.over(until=lambda: stage.probes) < SURE + 3 * LOOK


def test_no_probe_is_sent_while_the_request_of_a_killed_worker_may_take_it() -> None:
    stage = Stage(killed={"worker-1": 100.0})
    stage.well()
    assert stage.over(within=20) == -1
    assert stage.probes == []
    assert stage.made.silence == "no probe could be sent"
    stage.killed.clear()
    assert stage.over(until=lambda: stage.probes) >= 0


def test_a_broker_that_does_not_take_the_probe_is_asked_again() -> None:
    stage = Stage(pushes=False)
    stage.well()
    assert stage.over(within=20) == -1
    assert not stage.made.consuming
    stage.pushes = True
    assert stage.over(until=lambda: stage.probes) >= 0
    stage.consumed()
    assert stage.over() >= 0
    assert stage.made.consuming


def test_the_time_of_a_probe_begins_when_a_worker_has_asked_for_messages() -> None:
    """One that was killed must come up again first, and that is not its silence."""
    stage = Stage()
    stage.polls(49.0)  # before it was born
    stage.well()
    assert stage.over(within=20) == -1
    stage.polls(120.0)
    assert stage.over() == pytest.approx(SETTLE.probe, abs=0.2)


@pytest.mark.parametrize(
    ("asked", "idle"),
    [((-1, -1), "worker-1 and worker-2"), ((1, -1), "worker-2"), ((-1, 1), "worker-1"), ((1, 1), "")],
)
def test_of_two_workers_each_must_ask_for_messages_after_the_probe(asked: tuple[int, int], idle: str) -> None:
    """One takes the probe, whatever has become of the other."""
    stage = Stage(workers=("worker-1", "worker-2"))
    stage.well()
    stage.over(until=lambda: stage.probes)
    stage.effect(stage.probes[0])
    stage.now += LOOK
    polled = {f"worker-{n + 1}->broker": stage.now + since for n, since in enumerate(asked)}
    stage.wire = replace(stage.wire, polled=polled)
    assert stage.made.over() is False
    assert stage.made.consuming is (idle == "")
    assert stage.over() == pytest.approx(SETTLE.probe if idle else SURE, abs=0.2)
    if idle:
        assert stage.made.silence == f"{idle} did not ask for messages after a probe was sent"


def test_a_request_that_no_api_answered_is_sent_again_as_a_probe() -> None:
    stage = Stage(REQUEST)
    stage.well()
    stage.over(until=lambda: stage.probes)
    assert stage.probes == ["probe-1"]
    stage.see("client", "fail", "probe-1", op="http", error="ConnectError")
    stage.over(until=lambda: len(stage.probes) > 1)
    assert stage.probes == ["probe-1", "probe-2"]
    stage.see("client", "ok", "probe-2", "its task", op="http")
    assert stage.over(within=1) == -1
    stage.consumed()
    stage.effect("its task")
    assert 0 <= stage.over() < 1
    assert stage.made.consuming, "an effect that names only its task is the probe's"


# --- how long still means settled


def settled(stage: Stage) -> float:
    """The seconds to the end when the probe is done as soon as it is sent."""
    begin = stage.now
    assert stage.over(until=lambda: stage.probes) >= 0
    stage.consumed()
    assert stage.over() >= 0
    return stage.now - begin


@pytest.mark.parametrize(
    ("more", "left", "missing", "long"),
    [
        ({"recover": 5.0}, ("unacked",), True, True),  # the broker gives it back
        ({"recover": 5.0}, ("unacked",), False, True),
        ({"republished": 8.0}, (), True, True),  # the application publishes it again
        ({}, ("unacked",), True, False),  # stuck for longer than anybody waits
        ({}, (), True, False),  # lost
        ({"recover": 5.0}, (), True, False),
        ({"republished": 8.0}, (), False, False),
    ],
)
def test_what_somebody_may_bring_back_is_waited_for_while_it_may_come(
    more: dict[str, float], left: tuple[str, ...], missing: bool, long: bool
) -> None:
    stage = Stage(settle=replace(SETTLE, **more))  # type: ignore[arg-type]
    stage.accepted()
    if not missing:
        stage.effect()
    stage.told()
    stage.lies(*left)
    assert (settled(stage) > SETTLE.still) is long


def test_what_was_done_is_not_published_again() -> None:
    stage = Stage(settle=replace(SETTLE, republished=8.0))
    stage.accepted()
    stage.effect()
    stage.see("client", "unread", KEY, error="TimeoutError")
    assert settled(stage) < 1


@pytest.mark.parametrize("done", [True, False])
def test_who_was_refused_waits_for_no_result(done: bool) -> None:
    """Also when it was done all the same: nobody will ever tell."""
    stage = Stage()
    stage.see("client", "fail", KEY, error="OperationalError")
    if done:
        stage.effect()
    assert settled(stage) < 1


def test_who_has_no_answer_is_waited_for_to_the_end() -> None:
    stage = Stage()
    stage.effect()
    assert stage.over(until=lambda: stage.probes) >= 0
    stage.consumed()
    assert stage.over(within=20) == -1
    stage.see("client", "info", KEY, error="the process that called the task ended")
    assert 0 <= stage.over() < 1


@pytest.mark.parametrize(("pid", "lives"), [(os.getpid(), True), (NOBODY, False)], ids=["lives", "is gone"])
def test_a_body_that_runs_in_a_living_process_may_go_on_without_a_sign(pid: int, lives: bool) -> None:
    stage = Stage()
    stage.accepted()
    stage.see("worker-1", "started", None, TASK, pid=pid)
    assert (stage.over(until=lambda: stage.probes) > SETTLE.held) is lives


def test_a_message_in_a_workers_memory_is_no_end() -> None:
    """It lies nowhere, and all looks good, for as long as a busy machine keeps the worker from registering it."""
    stage = Stage(faulted=False)
    stage.well()
    stage.wire = replace(stage.wire, holds=True)
    assert stage.over(within=10) == -1
    stage.wire = replace(stage.wire, holds=False)
    assert stage.over() > SURE


def test_an_end_of_a_process_is_a_change() -> None:
    stage = Stage(faulted=False)
    stage.well()
    assert stage.over(within=SURE / 2) == -1
    stage.see("worker-1", "exit", code=1)
    assert stage.over() > SURE / 2 + LOOK


# --- time


def test_the_time_out_of_a_caller_is_one_of_fair_time() -> None:
    stage = Stage()
    stage.accepted()
    stage.effect()
    stage.starved = True
    assert stage.over(within=20) == -1
    assert stage.life.telling is None, "nobody had a CPU"
    stage.starved = False
    assert stage.over(until=lambda: stage.life.told != "waiting") == pytest.approx(SETTLE.result, abs=0.1)
    assert str(stage.life.told) == "unread"
    assert stage.life.telling
    assert stage.life.telling.data["error"] == "no result within 4 s"
    stage.told()
    assert stage.life.told == "unread", "it had given up"


def test_an_api_is_asked_to_the_end() -> None:
    stage = Stage(REQUEST)
    stage.see("client", "ok", KEY, TASK, op="http")
    stage.effect()
    assert stage.over() == pytest.approx(SETTLE.limit, abs=0.1)
    assert stage.life.told == "waiting"


def test_a_machine_that_stands_still_ends_nothing() -> None:
    """A minute without a CPU: nothing moved, and nothing could."""
    stage = Stage(starved=True)
    stage.well()
    assert stage.over(within=60) == -1
    assert stage.probes == []


# --- beat


def test_beat_has_sent_what_is_in_its_schedule_when_it_has_asked_for_something() -> None:
    stage = Stage(Tick())
    assert stage.over(within=1) == -1
    assert (stage.ticks, stage.life.answered) == (0, "waiting")
    stage.wire = replace(stage.wire, ticked=True)
    assert stage.over(within=1) == -1
    assert (stage.ticks, stage.life.answered) == (1, "accepted")


# --- a copy of a message


@pytest.mark.parametrize("fails", [False, True])
def test_the_probe_is_a_copy_of_another_message(fails: bool) -> None:
    sent: list[tuple[str, str]] = []

    def lpush(queue: str, text: str) -> None:
        if fails:
            raise RedisError("away")
        sent.append((queue, text))

    raw = {"headers": {"id": "old"}, "properties": {"correlation_id": "old", "delivery_tag": "tag"}, "body": "x"}
    assert push_copy(SimpleNamespace(lpush=lpush), raw, "old", "new", "celery") is not fails
    assert raw["headers"] == {"id": "old"}, "it is a copy"
    if not fails:
        ((queue, text),) = sent
        assert queue == "celery"
        assert "old" not in text
        assert '"delivery_tag": "probe-new"' in text
