"""A schedule that was not carried out as written is told, whichever of its triggers never came."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from brownout.faults import kill, kill_child
from brownout.faults.strike import Strike
from brownout.history.event import Event
from brownout.plan.fault import FAULTS
from brownout.plan.plan import Injection
from brownout.plan.point import Place, Point
from brownout.plan.trigger import after, at, event, point
from brownout.probes.line import now
from brownout.probes.recorder import Recorder
from brownout.run import nemesis as module
from brownout.run.nemesis import Nemesis
from brownout.run.points import Points
from brownout.wire.redis.watch import Hit
from tests.unit.conducted import ZADD


@pytest.fixture
def healed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was healed, by a fault that does nothing else."""
    done: list[str] = []
    strike = Strike(heal=lambda: done.append("healed"), acted=lambda: "it acted")
    monkeypatch.setitem(FAULTS, "kill", replace(FAULTS["kill"], strike=lambda *_: strike))
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
    (told,) = faults.missed()
    assert "did not heal as planned" in told
    assert "waited for any ready #1; 0 matching events came" in told


def test_a_schedule_that_went_as_planned_misses_nothing(tmp_path: Path, healed: list[str]) -> None:
    faults = nemesis(tmp_path)
    faults.see([Event(now(), "worker-1", "started")])
    faults.act()
    faults.see([Event(now(), "worker-1", "ready")])
    faults.act()
    faults.heal()
    assert (healed, faults.missed()) == (["healed"], [])


@pytest.mark.parametrize("acts", [True, False])
def test_a_fault_that_struck_and_was_not_seen_to_act_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, acts: bool
) -> None:
    strike = Strike(heal=lambda: None, acted=lambda: "it acted" if acts else "")
    monkeypatch.setitem(FAULTS, "kill", replace(FAULTS["kill"], strike=lambda *_: strike))
    faults = nemesis(tmp_path)
    assert faults.unseen == [], "it has not struck"
    faults.see([Event(now(), "worker-1", "started")])
    faults.act()
    assert faults.unseen == ([] if acts else ["kill() on worker-1 was never seen to act"])


def test_a_fault_whose_event_never_came_is_told(tmp_path: Path, healed: list[str]) -> None:
    faults = nemesis(tmp_path)
    faults.act()
    faults.heal()
    assert healed == []
    assert "never struck" in faults.missed()[0]


class OnPaper:
    """Stands for the points of a trial: what is done with the message that is kept is in `log`."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.reached: list[Any] = []

    def expect(self, place: Any, reached: Any, ready: Any = None) -> None:  # noqa: ARG002
        self.log.append(f"waits for {place}")
        self.reached.append(reached)

    def tell(self, place: Any) -> None:
        self.log.append(f"waits for {place}")

    def keep(self) -> None:
        self.log.append("kept")

    def release(self, hit: Any) -> None:
        assert isinstance(hit, Hit)
        self.log.append("released")


def test_a_message_waits_until_the_fault_has_struck_and_what_it_killed_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    looks = iter([False, False, True])

    def gone(pids: frozenset[int]) -> bool:
        log.append(f"looks for {sorted(pids)}")
        return next(looks)

    def struck(*_: object) -> Strike:
        log.append("struck")
        return Strike(lambda: None, lambda: "it acted", frozenset({7}))

    monkeypatch.setattr(module, "gone", gone)
    monkeypatch.setitem(FAULTS, "kill", replace(FAULTS["kill"], strike=struck))
    points: Any = OnPaper(log)
    subject: Any = None
    injection = Injection(kill(), "worker-1", point("worker-1->broker", "ZADD"), heal=point("relay->broker", "LPUSH"))
    faults = Nemesis([injection], subject, Recorder(tmp_path / "history", "nemesis"), points)
    faults.act()
    assert points.reached[0](Hit(ZADD, "before", points, None))
    faults.act()
    assert log == [
        "waits for point worker-1->broker ZADD #1 before",
        *("kept", "struck", "waits for point relay->broker LPUSH #1 before"),
        *["looks for [7]"] * 3,
        "released",
    ]
    data = {"edge": "relay->broker", "command": "LPUSH", "nth": 1, "moment": "before"}
    faults.see([Event(now(), "wire", "point", data={**data, "edge": "api->broker"})])
    faults.act()
    assert faults.pending
    faults.see([Event(now(), "wire", "point", data={**data, "reached": "relay->broker/LPUSH celery#1"})])
    faults.act()
    assert not faults.pending
    assert faults.missed() == []


def test_a_message_goes_on_when_its_fault_could_not_strike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Strike:
        raise OSError("no such process")

    monkeypatch.setitem(FAULTS, "kill", replace(FAULTS["kill"], strike=broken))
    points: Any = OnPaper([])
    subject: Any = None
    injection = Injection(kill(), "worker-1", point("worker-1->broker", "ZADD"))
    faults = Nemesis([injection], subject, Recorder(tmp_path / "history", "nemesis"), points)
    points.reached[0](Hit(ZADD, "before", points, None))
    with pytest.raises(OSError, match="no such process"):
        faults.act()
    assert points.log[1:] == ["kept", "released"]


def test_of_two_faults_of_one_text_it_says_which(tmp_path: Path, healed: list[str]) -> None:
    subject: Any = None
    both = [Injection(kill(), "worker-1", when=event(kind)) for kind in ("started", "ready")]
    faults = Nemesis([*both, Injection(kill(), "api", when=at(0))], subject, Recorder(tmp_path / "history", "nemesis"))
    faults.see([Event(now(), "worker-1", "started")])
    faults.act()
    (told,) = faults.missed()
    assert told.startswith("kill() on worker-1 (injection 2) never struck")


def test_a_heal_by_the_clock_counts_from_when_the_fault_was_seen_to_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow machine what it should hit comes late; what nobody meets heals all the same, MEETS seconds later."""
    clock, evidence, healed = [now()], [""], list[str]()
    monkeypatch.setattr(module, "now", lambda: clock[0])
    strike = Strike(heal=lambda: healed.append("healed"), acted=lambda: evidence[0])
    monkeypatch.setitem(FAULTS, "kill", replace(FAULTS["kill"], strike=lambda *_: strike))
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


class Places:
    """Stands for Points: keeps what is expected, and whether it may be struck yet."""

    def __init__(self) -> None:
        self.expected: list[tuple[Callable[[Hit], bool], Callable[[], bool]]] = []

    def expect(self, _: Place, strike: Callable[[Hit], bool], ready: Callable[[], bool]) -> None:
        self.expected.append((strike, ready))

    def missed(self, place: Place) -> str:
        return f"{place} was not reached"

    def keep(self) -> None: ...

    def release(self, hit: Hit) -> None: ...


@pytest.mark.usefixtures("healed")
def test_a_fault_that_follows_another_waits_until_that_has_struck(tmp_path: Path) -> None:
    first = Injection(kill(), "worker-1", when=point("worker-1->broker", "ZADD"))
    then = Injection(kill(), "worker-1", when=point("worker-1->broker", "GET"), then=True)
    points, subject, hit = Places(), MagicMock(), Hit(Point("worker-1->broker", "ZADD"), "before", MagicMock(), None)
    faults = Nemesis([first, then], subject, Recorder(tmp_path / "history", "nemesis"), cast("Points", points))
    (strike, ready), (_, second_ready) = points.expected
    assert (ready(), second_ready()) == (True, False)
    assert len(faults.missed()) == len(faults.missed(then=False)) == 2
    strike(hit)
    assert second_ready(), "the first message is kept from here on"
    faults.act()
    assert [text.partition(" never")[0] for text in faults.missed()] == ["kill() on worker-1 (injection 2)"]
    assert faults.missed(then=False) == []


@pytest.mark.parametrize(
    ("takes", "at", "overtaken"),
    [(30, 10, True), (30, 40, False), (10, 5, False)],
    ids=["late and overtaken", "late, and nothing came meanwhile", "in time"],
)
def test_a_fault_that_struck_after_its_task_had_taken_effect_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: int, at: int, overtaken: bool
) -> None:
    """All times are milliseconds after the point was reached, of a clock that moves with the strike alone."""
    reached = clock = now()

    def struck(*_: object) -> Strike:
        nonlocal clock
        clock += takes * 1_000_000
        return Strike(lambda: None, lambda: "it acted")

    monkeypatch.setattr(module, "now", lambda: clock)
    monkeypatch.setitem(FAULTS, "kill_child", replace(FAULTS["kill_child"], strike=struck))
    points: Any = OnPaper([])
    subject: Any = None
    injection = Injection(kill_child(), "worker-1", point("worker-1->broker", "ZADD"))
    faults = Nemesis([injection], subject, Recorder(tmp_path / "history", "nemesis"), points)
    assert points.reached[0](Hit(ZADD, "after", points, None))
    faults.see([
        Event(reached + 1, "client", "read", task="t"),
        Event(reached + at * 1_000_000, "effects", "effect", task="t"),
    ])  # fmt: skip
    faults.act()
    text = "kill_child() on worker-1 struck too late, when the task had already taken effect"
    assert faults.overtaken() == ({text: takes / 1000} if overtaken else {})
