"""Shrinking against oracles of paper: what is left keeps the anomaly, and nothing more can go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout import (
    after,
    at_least_once,
    bandwidth,
    cut,
    flap,
    kill,
    latency,
    point,
    post,
    refuse,
    started,
    stop,
    submit,
)
from brownout.explore.shrink import STAGES, Came, Step, confirmed, shrink
from brownout.plan.fault import Fault
from brownout.plan.operation import Load
from brownout.plan.plan import Injection, Plan

EDGE = "worker->broker"
WORK = submit("tasks.work", every="50ms", count=9)


def injection(fault: Fault, n: int = 1) -> Injection:
    on = "worker-1" if fault.name in ("kill", "stop") else EDGE
    return Injection(fault, on, started(nth=n), after("1s"))


SIX = Plan(
    load=(WORK, post("/jobs", every="50ms", lasting="4s"), submit("tasks.other", every="1s", count=40)),
    injections=(
        injection(latency("2s")),
        injection(kill(children=True)),
        injection(cut()),
        injection(stop()),
        injection(bandwidth(8)),
        injection(refuse()),
    ),
    promises=(at_least_once(),),
)


def smallest(plan: Plan, shows: Callable[[Plan], bool]) -> tuple[Plan, list[Step]]:
    """The last plan, and every plan that was asked for."""
    asked: list[Step] = []

    def keeps(step: Step) -> bool:
        asked.append(step)
        return shows(step.plan)

    for step in shrink(plan, keeps):
        plan = step.plan
    return plan, asked


def names(plan: Plan) -> list[str]:
    return [str(injection.fault) for injection in plan.injections]


@pytest.mark.parametrize("n", range(6))
def test_of_six_faults_the_one_that_matters_is_left(n: int) -> None:
    needed = SIX.injections[n]
    plan, asked = smallest(SIX, lambda plan: needed in plan.injections)
    assert plan.injections == (needed,)
    assert [load.count or load.lasting for load in plan.load] == [1]
    faults = [step for step in asked if "faults" in step.what]
    assert len(faults) <= 14, [step.what for step in faults]


def test_two_faults_that_matter_together_stay_together() -> None:
    plan, _ = smallest(SIX, lambda plan: {"cut()", "refuse()"} <= set(names(plan)))
    assert names(plan) == ["cut()", "refuse()"]


def test_an_anomaly_that_needs_no_fault_is_left_without_one_at_the_first_question() -> None:
    plan, asked = smallest(SIX, lambda _: True)
    assert (plan.injections, len(plan.load), asked[0].what) == ((), 1, "0 of 6 faults: none")


def test_a_fault_is_replaced_by_its_weakest_variant_that_still_does_it() -> None:
    slow = replace(SIX, injections=(injection(latency("2s")), injection(flap(times=8))))

    def shows(plan: Plan) -> bool:
        delays = [injection.fault.args.get("delay", 0) for injection in plan.injections]
        return max(delays, default=0) >= 0.3 and len(plan.injections) == 2

    plan, _ = smallest(slow, shows)
    assert plan.injections[0].fault.args["delay"] == 0.5  # 0.25 is refused
    assert names(plan)[1] == "cut()", "the weakest that a flap can become"


@pytest.mark.parametrize(("least", "asked_at_most"), [(1, 2), (7, 9), (40, 9)])
def test_a_load_keeps_as_many_operations_as_it_needs(least: int, asked_at_most: int) -> None:
    plan = Plan(load=(replace(WORK, count=40),), promises=(at_least_once(),))
    small, asked = smallest(plan, lambda plan: (plan.load[0].count or 0) >= least)
    assert small.load[0].count == least
    assert len(asked) <= asked_at_most + 5


def test_a_plan_that_cannot_be_carried_out_is_never_asked_for() -> None:
    """A fault that followed another one follows none when it is the first that is left."""
    reached = point("worker->broker", "ZADD unacked_index", nth=1)
    schedule = (Injection(cut(), EDGE, reached), Injection(stop(), "worker-1", reached, after("1s"), then=True))
    plan, asked = smallest(replace(SIX, injections=schedule), lambda plan: "stop()" in " ".join(names(plan)))
    assert [str(injection) for injection in plan.injections] == [str(replace(schedule[1], then=False))]
    assert all(step.plan.validated() is step.plan for step in asked)


FAULTS = st.sampled_from([latency("2s"), latency("20ms"), kill(), kill(children=True), cut(), stop(), flap(), refuse()])
LOADS = st.builds(
    lambda count, lasting: Load(WORK.operation, 0.05, count, None if count else lasting),
    st.none() | st.integers(1, 30),
    st.floats(0.2, 5.0),
)
PLANS = st.builds(
    lambda faults, loads: replace(
        SIX, load=tuple(loads), injections=tuple(injection(fault, n + 1) for n, fault in enumerate(faults))
    ),
    st.lists(FAULTS, max_size=6),
    st.lists(LOADS, min_size=1, max_size=3),
)


@settings(max_examples=25, deadline=None)
@given(PLANS, st.randoms(use_true_random=False))
def test_nothing_more_can_go_whatever_the_oracle(plan: Plan, chance: object) -> None:
    """An oracle that answers at random, but always the same for the same plan."""
    answers: dict[str, bool] = {plan.id: True}
    asked: list[str] = []

    def shows(candidate: Plan) -> bool:
        asked.append(candidate.id)
        return answers.setdefault(candidate.id, chance.random() < 0.3)  # type: ignore[attr-defined]

    small, _ = smallest(plan, shows)
    assert answers[small.id], "the smallest shows the anomaly"
    assert len(asked) == len(set(asked)), "no plan was asked for twice"
    left = [step for stage in STAGES for step in stage(small) if step.plan.id != small.id]
    assert [step.what for step in left if answers.get(step.plan.id) is None] == [], "a smaller plan was never tried"
    assert not any(answers[step.plan.id] for step in left), "a smaller plan shows it too"


def attempts(*came: Came) -> tuple[Callable[[], Came], Iterator[Came]]:
    left = iter(came)
    return lambda: next(left), left


@pytest.mark.parametrize(
    ("came", "times", "of", "yes", "unused"),
    [
        (["same", "same", "other"], 2, 2, True, 1),
        (["other", "same"], 2, 2, False, 1),
        (["same", "other", "same", "other"], 2, 3, True, 1),
        (["other", "other", "same"], 2, 3, False, 1),
        (["unknown", "same", "same"], 2, 2, True, 0),
        (["unknown", "unknown", "same"], 2, 2, False, 1),
        (["same", "unknown", "other"], 1, 1, True, 2),
    ],
)
def test_a_step_is_confirmed_by_n_of_m_trials_and_no_more_are_made(
    came: list[Came], times: int, of: int, *, yes: bool, unused: int
) -> None:
    attempt, left = attempts(*came)
    assert confirmed(attempt, times, of) is yes
    assert len(list(left)) == unused
