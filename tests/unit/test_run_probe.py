"""The probe of a trial in which a second fault may strike: what that may have struck proves nothing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from brownout.history.event import Event
from brownout.history.life import OPERATION, Life
from brownout.plan.operation import Call
from brownout.plan.settle import Settle
from brownout.run.phases import settling as module
from brownout.run.phases.settling import LOOK, OnWire, Settling

CALL = Call("tasks.work")
SETTLE = Settle(CALL, held=2.0, probe=3.0, result=4.0, recover=0.0, republished=0.0, limit=30.0, still=10.0)


class Stage:
    """An operation that has ended well after a fault struck. A look at it is told from the next by a clock of paper."""

    def __init__(self) -> None:
        self.now = 100.0
        self.wire = OnWire(False, {"worker-1->broker": 101.0}, False, 1)
        self.pushed: list[str] = []
        self.probing: list[bool] = []
        self.meanwhile = 0  # faults that strike while a probe is sent
        self.pushes = True
        self.life, self.killed = Life(), 0.0
        for kind, task in (("invoke", None), ("ok", "task")):
            self.see("client", kind, OPERATION, task)
        self.see("effects", "effect", None, "task")
        self.see("client", "read", OPERATION, state="SUCCESS")

    def see(self, source: str, kind: str, key: str | None = None, task: str | None = None, **data: Any) -> None:
        self.life.see([Event(int(self.now * 1e9), source, kind, key, task, 0, data)])

    def push(self, task: str) -> bool:
        self.pushed.append(task)
        self.strike(self.meanwhile)
        return self.pushes

    def strike(self, times: int = 1) -> None:
        self.wire = replace(self.wire, struck=self.wire.struck + times)

    def over(self, seconds: float) -> bool:
        """Look for so long; whether it is over."""
        end = self.now + seconds
        while self.now < end:
            if self.made.over():
                return True
            self.now += LOOK
        return False

    @property
    def made(self) -> Settling:
        if not hasattr(self, "_made"):
            clock: Any = SimpleNamespace(look=lambda _late=0.0: self.now, seconds=0.0)
            clients: Any = SimpleNamespace(give_up=lambda *_: None, tick=lambda *_: None)
            self._made = Settling(
                SETTLE,
                CALL,
                self.life,
                clients,
                clock,
                faulted=True,
                workers=["worker-1"],
                wire=lambda: self.wire,
                active=lambda: False,
                look=lambda: Event(0, "broker", "sample"),
                push=self.push,
                probing=self.probing.append,
                born=lambda _: 50.0,
                killed=lambda _: self.killed,
            )
        return self._made


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_a_probe_that_is_done_ends_the_trial(stage: Stage) -> None:
    assert not stage.over(1)
    assert (len(stage.pushed), stage.probing) == (1, [True])
    stage.see("effects", "effect", None, stage.pushed[0])
    assert stage.over(1)
    assert stage.made.consuming


def test_a_strike_makes_the_probe_that_is_under_way_worthless(stage: Stage) -> None:
    assert not stage.over(0.2)
    stage.strike()
    stage.see("effects", "effect", None, stage.pushed[0])  # it was done all the same, before the strike or after it
    assert not stage.over(1)
    assert (len(stage.pushed), stage.probing) == (2, [True, False, True])
    stage.see("effects", "effect", None, stage.pushed[1])
    assert stage.over(1)


def test_so_does_a_strike_while_it_is_sent(stage: Stage) -> None:
    stage.meanwhile = 1
    assert not stage.over(0.12)
    stage.meanwhile = 0
    assert not stage.over(1)
    assert (len(stage.pushed), stage.probing) == (2, [True, False, True])


def test_nothing_is_settled_when_a_fault_has_just_struck(stage: Stage) -> None:
    assert not stage.over(LOOK)
    stage.now += 0.07
    stage.strike()
    assert not stage.over(3 * LOOK)
    assert stage.pushed == [], "the strike is a change of state, so it is not still yet"
    assert not stage.over(1)
    assert len(stage.pushed) == 1


def test_a_probe_that_could_not_be_sent_is_none(stage: Stage) -> None:
    stage.pushes = False
    assert not stage.over(0.12)
    assert stage.probing == [True, False] * len(stage.pushed)
    assert stage.made.silence == "no probe could be sent"
    stage.pushes = True
    assert not stage.over(0.1)
    assert stage.probing[-1]


@pytest.mark.parametrize(("killed", "sent"), [(60.0, False), (40.0, True)])
def test_no_probe_is_sent_to_a_worker_that_dies(stage: Stage, killed: float, sent: bool) -> None:
    """It was killed after it was started, and its BRPOP may still wait at the server; or it was started again since."""
    stage.killed = killed
    assert not stage.over(1)
    assert bool(stage.pushed) is sent
