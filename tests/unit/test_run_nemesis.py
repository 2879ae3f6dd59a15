"""A schedule that was not carried out as written is told, whichever of its triggers never came."""

from pathlib import Path
from typing import Any

import pytest

from brownout.faults import kill
from brownout.faults.strike import STRIKERS, Strike
from brownout.history.event import Event, now
from brownout.history.recorder import Recorder
from brownout.plan.plan import Injection
from brownout.plan.trigger import after, at, event
from brownout.run import nemesis as module
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


def test_of_two_faults_of_one_text_it_says_which(tmp_path: Path, healed: list[str]) -> None:
    subject: Any = None
    both = [Injection(kill(), "worker-1", when=event(kind)) for kind in ("started", "ready")]
    faults = Nemesis([*both, Injection(kill(), "api", when=at(0))], subject, Recorder(tmp_path / "history", "nemesis"))
    faults.see([Event(now(), "worker-1", "started")])
    faults.act()
    (told,) = faults.missed
    assert told.startswith("kill() on worker-1 (injection 2) never struck")


def test_a_heal_by_the_clock_counts_from_when_the_fault_was_seen_to_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow machine what it should hit comes late; what nobody meets heals all the same, MEETS seconds later."""
    clock, evidence, healed = [now()], [""], list[str]()
    monkeypatch.setattr(module, "now", lambda: clock[0])
    strike = Strike(heal=lambda: healed.append("healed"), acted=lambda: evidence[0])
    monkeypatch.setitem(STRIKERS, "kill", lambda *_: strike)
    subject: Any = None

    def passes(faults: Nemesis, seconds: float) -> bool:
        clock[0] += int(seconds * 1e9)
        faults.act()
        return bool(healed)

    injection = Injection(kill(), "worker-1", when=at(0), heal=after("2s"))
    faults = Nemesis([injection], subject, Recorder(tmp_path / "history", "nemesis"))
    assert not passes(faults, 0.1)
    assert not passes(faults, 3)
    evidence[0] = "it acted"
    assert not passes(faults, 0.1)
    assert not passes(faults, 1.9)
    assert passes(faults, 0.2)

    evidence[0] = ""
    healed.clear()
    unmet = Nemesis([injection], subject, Recorder(tmp_path / "history", "nemesis"))
    assert not passes(unmet, 0.1)
    assert not passes(unmet, module.MEETS)
    assert passes(unmet, 2.1)
