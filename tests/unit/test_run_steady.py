"""A warm-up that fails: what a busy machine may have done is told apart from what the application did."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from brownout.history.event import Event
from brownout.history.life import WARM, Life
from brownout.plan.operation import Call
from brownout.run.phases.steady import STARVED, Steady
from brownout.subject.waiting import NeverHappened


def steady(state: str, starved: float) -> Steady:
    """The client of the warm-up reads this state at once."""
    life = Life()
    told = Event(1, "client", "read", key=WARM, data={"state": state})
    fair = SimpleNamespace(look=lambda _=0.0: 0.0, starved=starved)
    observer = SimpleNamespace(look=lambda: None)
    clients = SimpleNamespace(call=lambda *_: life.see([told]))
    parts: list[Any] = [SimpleNamespace(tails=lambda: ""), observer, clients, None, fair]
    make: Any = Steady
    made: Steady = make(*parts, life, ["worker-1"], "celery")
    return made


def test_a_warm_up_that_succeeds_is_over() -> None:
    steady("SUCCESS", 9.0)._warm(Call("tasks.work"))


@pytest.mark.parametrize(("starved", "kind"), [(0.0, RuntimeError), (STARVED + 0.1, NeverHappened)])
def test_a_failure_proves_something_only_when_its_processes_had_a_cpu(starved: float, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="the warm-up failed: read"):
        steady("FAILURE", starved)._warm(Call("tasks.work"))
