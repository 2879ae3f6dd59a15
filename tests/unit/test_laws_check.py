"""What must hold of every registered checker."""

from __future__ import annotations

import cProfile
import gc
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.check.promises import attempts_within
from brownout.check.registry import CHECKERS, judge
from brownout.check.verdict import Ruling, Verdict
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.promise import Promise
from tests.unit.check_specimens import MS, PLANTED, PROMISED, STATISTICAL, TASK, Plant, Story, healthy

GOLDEN = healthy()
NAMES = sorted(CHECKERS)
CASES = [pytest.param(*case, id=f"{case[0].name}-{case[1]}-{n}") for n, case in enumerate(PLANTED)]


def test_every_checker_and_every_kind_has_a_specimen() -> None:
    assert set(PROMISED) == set(CHECKERS)
    assert {(promise.name, kind) for promise, kind, _ in PLANTED} == {
        (name, kind) for name, entry in CHECKERS.items() for kind in entry.anomalies
    }


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_history_is_unknown(name: str) -> None:
    assert judge(History(), PROMISED[name]).validity == "unknown"


@pytest.mark.parametrize("name", NAMES)
def test_a_history_that_says_nothing_is_unknown(name: str) -> None:
    nothing = History(event for event in GOLDEN if event.kind == "phase")
    assert judge(nothing, PROMISED[name]).validity == "unknown"


@pytest.mark.parametrize("name", NAMES)
def test_the_golden_history_is_valid(name: str) -> None:
    verdict = judge(GOLDEN, PROMISED[name])
    assert verdict.validity == "valid", verdict


@pytest.mark.parametrize(("promise", "kind", "plant"), CASES)
def test_a_planted_anomaly_is_found_alone(promise: Promise, kind: str, plant: Plant) -> None:
    verdict = judge(plant(GOLDEN), promise)
    assert verdict.validity == "invalid", verdict
    assert {anomaly.kind for anomaly in verdict.anomalies} == {kind}
    assert all(anomaly.sentence.endswith(".") and len(anomaly.sentence) > 20 for anomaly in verdict.anomalies)


@pytest.mark.parametrize(("promise", "kind", "plant"), CASES)
def test_the_witness_alone_gives_the_same_anomaly(promise: Promise, kind: str, plant: Plant) -> None:
    history = plant(GOLDEN)
    anomaly = judge(history, promise).anomalies[0]
    assert 2 <= len(anomaly.witness) <= 6
    assert all(event in history.events for event in anomaly.witness)
    if kind in STATISTICAL:
        return
    again = judge(History(anomaly.witness), promise)
    assert [(a.kind, a.key, a.task) for a in again.anomalies] == [(anomaly.kind, anomaly.key, anomaly.task)], again


@pytest.mark.parametrize("limit", [1, 5, 6, 9])
def test_a_proof_of_many_events_still_names_its_operation(limit: int) -> None:
    story = Story()
    story.post(10, "op-1", "t-1")
    for n in range(limit + 1):
        story.say(100 + n, "worker-1", "started", task="t-1", name=TASK, retries=0)
    promise = attempts_within(0, starts=limit)
    (anomaly,) = judge(story.history, promise).anomalies
    (again,) = judge(History(anomaly.witness), promise).anomalies
    assert (again.key, again.task) == (anomaly.key, anomaly.task) == ("op-1", "t-1")


@pytest.mark.parametrize("name", NAMES)
def test_a_crash_inside_is_unknown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(history: History, **_: Any) -> Ruling:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setitem(CHECKERS, name, replace(CHECKERS[name], rule=broken))
    verdict = judge(GOLDEN, PROMISED[name])
    assert verdict.validity == "unknown"
    assert "ZeroDivisionError: on purpose" in verdict.why


#: The least margin (ms) by which a planted anomaly that is measured in time is over its limit: a stall of the loop.
LEAST_MARGIN = 29
#: Timed kinds of which some specimens are sure all the same: the drain had ended, the connection broke,
#: the queue was full for longer than it had grown.
SURE = {"undrained", "stuck", "unanswered", "backlog", "unrecovered"}


def waiting(at_ms: int, ms: int, by: str) -> Event:
    """The machine was busy for so long until `at_ms`, as one of the two witnesses tells it."""
    if by == "machine":
        return Event(at_ms * MS, "run", "machine-late", data={"ms": ms})
    return Event(at_ms * MS, "run", "waited", data={"since": (at_ms - ms) * MS, "ms": {by: ms}})


STALLS = st.builds(
    waiting,
    st.integers(0, 12_000),
    st.integers(1, 12_000),
    st.sampled_from(["machine", "api", "worker-1", "worker-2", "broker", "harness"]),
)


def _named(verdict: Verdict) -> list[tuple[str, str | None, str | None]]:
    return [(anomaly.kind, anomaly.key, anomaly.task) for anomaly in verdict.anomalies]


@pytest.mark.parametrize("name", NAMES)
@given(stalls=st.lists(STALLS, min_size=1, max_size=4))
@settings(max_examples=8, deadline=None)
def test_what_was_kept_in_spite_of_a_busy_machine_is_kept(name: str, stalls: list[Event]) -> None:
    assert judge(History([*GOLDEN, *stalls]), PROMISED[name]).validity == "valid"


@pytest.mark.parametrize(("promise", "kind", "plant"), CASES)
@given(stall=STALLS)
@settings(max_examples=8, deadline=None)
def test_a_busy_machine_puts_in_doubt_a_time_and_nothing_else(
    promise: Promise, kind: str, plant: Plant, stall: Event
) -> None:
    planted = plant(GOLDEN)
    before, verdict = judge(planted, promise), judge(History([*planted, stall]), promise)
    if kind not in CHECKERS[promise.name].timed or stall.data.get("ms") in range(LEAST_MARGIN):
        assert verdict.validity == "invalid"
        assert _named(verdict) == _named(before)
        return
    lasted = stall.data["ms"] if isinstance(stall.data["ms"], int) else max(stall.data["ms"].values())
    if verdict.validity != "invalid":
        assert verdict.validity == "unknown"
        assert LEAST_MARGIN <= verdict.busy_ms <= lasted


@pytest.mark.parametrize(("promise", "kind", "plant"), [case for case in CASES if case.values[1] not in SURE])
def test_a_time_that_a_busy_machine_may_have_made_is_unknown(promise: Promise, kind: str, plant: Plant) -> None:
    """The machine was late all the time: each measured time may have been short, and nothing else changes."""
    verdict = judge(History([*plant(GOLDEN), waiting(12_000, 12_000, "machine")]), promise)
    timed = kind in CHECKERS[promise.name].timed
    assert (verdict.validity, verdict.busy_ms > 0) == (("unknown", True) if timed else ("invalid", False))


def _calls(work: Callable[[], object]) -> int:
    """Calls, built-in ones among them: a cost that no other process on the machine can change."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())


def _cpu(work: Callable[[], object]) -> float:
    """The lesser CPU time of two, without the garbage collector's walks over the test's own histories."""
    spent = []
    for _ in range(2):
        gc.disable()
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
        gc.enable()
    return min(spent)


@pytest.fixture(scope="module")
def sizes() -> tuple[History, History]:
    # A seventh of the law's 10,000 and 100,000 events: the ratio is the same, and the time is not.
    small, large = healthy(3), healthy(30)
    assert 9 < len(large) / len(small) < 10.5
    return small, large


@pytest.mark.parametrize("name", NAMES)
def test_ten_times_the_events_cost_at_most_twelve_times(name: str, sizes: tuple[History, History]) -> None:
    small, large = (_calls(lambda h=h: judge(History(h.events), PROMISED[name])) for h in sizes)  # type: ignore[misc]
    assert large <= 12 * small
    # What loops in C, or without a call, is not counted. A quadratic pass would take 100 times as long; caches and
    # a busy machine make a linear one take up to 20 times.
    less, more = (_cpu(lambda h=h: judge(History(h.events), PROMISED[name])) for h in sizes)  # type: ignore[misc]
    assert more <= 40 * less


def test_the_cost_law_sees_a_quadratic_checker(monkeypatch: pytest.MonkeyPatch, sizes: tuple[History, History]) -> None:
    def quadratic(history: History) -> Ruling:
        for op in list(history.ops.values())[::20]:
            history.kind("ok", source=op.key)
        return Ruling()

    monkeypatch.setitem(CHECKERS, "drained", replace(CHECKERS["drained"], rule=quadratic))
    small, large = (_calls(lambda h=h: judge(History(h.events), PROMISED["drained"])) for h in sizes)  # type: ignore[misc]
    assert large > 12 * small
