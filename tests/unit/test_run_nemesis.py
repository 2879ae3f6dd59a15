"""A schedule that was not carried out as written is told, whichever of its triggers never came."""

from pathlib import Path
from typing import Any

import pytest

from brownout.faults import kill
from brownout.faults.strike import STRIKERS, Strike
from brownout.history.event import Event, now
from brownout.history.recorder import Recorder
from brownout.plan.plan import Injection
from brownout.plan.trigger import event
from brownout.run.nemesis import Nemesis


@pytest.fixture
def healed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was healed, by a fault that does nothing else."""
    done: list[str] = []
    strike = Strike(heal=lambda: done.append("healed"), acted=lambda: "it acted")
    monkeypatch.setitem(STRIKERS, "kill", lambda *_: strike)
    return done


def nemesis(tmp_path: Path) -> Nemesis:
    injection = Injection(kill(), "worker-1", when=event("started"), heal=event("ready"))
    subject: Any = None
    return Nemesis([injection], subject, Recorder(tmp_path / "history", "nemesis"))


def test_a_heal_that_never_came_is_done_with_the_load_and_told(tmp_path: Path, healed: list[str]) -> None:
    faults = nemesis(tmp_path)
    faults.see([Event(now(), "worker-1", "started")])
    faults.act()
    faults.heal()
    assert healed == ["healed"]
    (told,) = faults.missed
    assert "did not heal as planned" in told
    assert "ready #1 came 0 times" in told


def test_a_schedule_that_went_as_planned_misses_nothing(tmp_path: Path, healed: list[str]) -> None:
    faults = nemesis(tmp_path)
    faults.see([Event(now(), "worker-1", "started")])
    faults.act()
    faults.see([Event(now(), "worker-1", "ready")])
    faults.act()
    faults.heal()
    assert (healed, faults.missed) == (["healed"], [])


def test_a_fault_whose_event_never_came_is_told(tmp_path: Path, healed: list[str]) -> None:
    faults = nemesis(tmp_path)
    faults.act()
    faults.heal()
    assert healed == []
    assert "never struck" in faults.missed[0]
