"""A trial that a busy machine made worthless runs again, alone, with services of its own."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from brownout.check import promises as p
from brownout.check.verdict import Verdict
from brownout.history.view import History
from brownout.plan.plan import Plan
from brownout.run import trial as module
from brownout.run.events import Event, Phase, TrialEnded, TrialStarted
from brownout.run.result import Result
from brownout.run.setting import Setting
from brownout.run.store import Store
from brownout.run.trial import ATTEMPTS, Trial, run
from brownout.run.turns import Turns
from brownout.run.watch import INTERPRETERS_OWN
from brownout.subject.application import Application
from brownout.subject.environment import filled

PLAN = Plan(promises=(p.answers({202}, within="2s"),))
BUSY = (Verdict("valid", "drained"), Verdict("unknown", "answers", why="busy", busy_ms=300.0))
NEVER_ACTED = (*BUSY, Verdict("unknown", "faults_acted", why="it never acted"))
LOST = (*BUSY, Verdict("invalid", "at_least_once"))
VALID = (Verdict("valid", "drained"),)


@dataclass
class Attempts:
    """What each attempt of a trial comes to, and whether it ran alone."""

    outcomes: list[tuple[Verdict, ...]]
    alone: list[bool] = field(default_factory=list)

    def result(self) -> Result:
        verdicts = self.outcomes[len(self.alone) - 1]
        return Result("s", PLAN, verdicts, History(), Path(f"attempt-{len(self.alone)}"), 1.0)


def tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *outcomes: tuple[Verdict, ...], plan: Plan = PLAN, **setting: Any
) -> tuple[Result, Attempts]:
    attempts = Attempts(list(outcomes))

    @contextmanager
    def taken(_: Turns, *, alone: bool, stopped: Callable[[], bool]) -> Iterator[None]:
        assert not stopped()
        attempts.alone.append(alone)
        yield

    monkeypatch.setattr(Turns, "taken", taken)
    monkeypatch.setattr(module, "Trial", lambda *_: attempts)
    monkeypatch.setattr(Attempts, "run", Attempts.result, raising=False)
    return run(plan, a_setting(tmp_path, **setting)), attempts


def test_each_attempt_is_told_and_the_last_one_has_all_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard: list[Event] = []
    result, _ = tried(monkeypatch, tmp_path, BUSY, VALID, emit=heard.append)
    begun = [TrialStarted("s"), Phase("wait for a turn", "s")]
    assert heard == [*begun, TrialEnded("s", result.earlier[0], 1, again=True), *begun, TrialEnded("s", result, 2)]


def test_a_trial_that_breaks_has_an_end_without_a_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    heard: list[Event] = []
    with pytest.raises(IndexError):
        tried(monkeypatch, tmp_path, emit=heard.append)
    assert heard[-1] == TrialEnded("s", None)


def a_setting(tmp_path: Path, **more: Any) -> Setting:
    nothing: Any = None
    return replace(Setting("s", Application(), tmp_path, Store(tmp_path / "store", "run"), nothing, nothing), **more)


def test_what_the_machine_made_unknown_is_tried_again_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result, attempts = tried(monkeypatch, tmp_path, BUSY, BUSY, VALID)
    assert attempts.alone == [False, True, True]
    assert result.validity == "valid"
    assert [attempt.folder.name for attempt in result.earlier] == ["attempt-1", "attempt-2"]
    assert result.attempts == ATTEMPTS


def test_no_more_than_three_times(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result, attempts = tried(monkeypatch, tmp_path, *[BUSY] * 9)
    assert (result.validity, result.busy, len(attempts.alone)) == ("unknown", True, ATTEMPTS)


@pytest.mark.parametrize("verdicts", [LOST, NEVER_ACTED, VALID, ()], ids=["lost", "never acted", "valid", "nothing"])
def test_nothing_else_is_tried_again(
    verdicts: tuple[Verdict, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is invalid stays so, and a fault that did not act is no matter of the machine."""
    result, attempts = tried(monkeypatch, tmp_path, verdicts)
    assert (result.earlier, len(attempts.alone)) == ((), 1)


def test_short_bounds_and_the_marker_are_alone_from_the_beginning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    short = replace(PLAN, promises=(p.loop_never_stalls("100ms"),))
    assert tried(monkeypatch, tmp_path, VALID, plan=short)[1].alone == [True]
    assert tried(monkeypatch, tmp_path, VALID, alone=True)[1].alone == [True]


class Counter:
    """A service that counts what it is asked."""

    made = 0

    def __init__(self) -> None:
        Counter.made += 1
        self.entered = self.closed = False

    def __enter__(self) -> "Counter":
        self.entered = True
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def __str__(self) -> str:
        return "http://127.0.0.1:1"


def test_each_attempt_has_services_of_its_own_and_ends_them(tmp_path: Path) -> None:
    def no_wire(*_: object) -> Any:
        raise OSError("no wire today")

    setting = a_setting(tmp_path, services={"counter": Counter}, make_wire=no_wire)
    trials = [Trial(PLAN, setting), Trial(PLAN, setting)]
    for trial in trials:
        with pytest.raises(OSError, match="no wire today"):
            trial.run()
    first, second = (cast("Counter", trial.services["counter"]) for trial in trials)
    assert first is not second
    assert (Counter.made, first.entered, first.closed, second.closed) == (2, True, True, True)


def test_a_trial_is_carried_out_without_long_garbage_collections(tmp_path: Path) -> None:
    frozen: list[int] = []

    def no_wire(*_: object) -> Any:
        frozen.append(gc.get_freeze_count())
        raise OSError("no wire today")

    with pytest.raises(OSError, match="no wire today"):
        Trial(PLAN, a_setting(tmp_path, make_wire=no_wire)).run()
    assert frozen[0] > INTERPRETERS_OWN >= gc.get_freeze_count()


def test_only_known_places_of_an_environment_are_filled() -> None:
    env = {"URL": "{broker}/0", "OPTIONS": '{"a": {"b": 1}}', "BOTH": '{"url": "{counter}"}', "OTHER": "{unknown}"}
    assert filled(env, {"broker": "redis://h", "counter": str(Counter())}) == {
        "URL": "redis://h/0",
        "OPTIONS": '{"a": {"b": 1}}',
        "BOTH": '{"url": "http://127.0.0.1:1"}',
        "OTHER": "{unknown}",
    }
    assert filled(env, {}) == env
