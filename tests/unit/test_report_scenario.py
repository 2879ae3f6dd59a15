"""A plan that is written as a test builds the same plan when the test runs."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import brownout.faults
from brownout import (
    Application,
    Lab,
    after,
    answers,
    at,
    at_least_once,
    cut,
    effect,
    event,
    get,
    hold,
    kill,
    latency,
    must_show,
    nothing_stuck,
    point,
    post,
    started,
    stop,
    submit,
)
from brownout.faults.table import example
from brownout.plan.fault import FAULTS
from brownout.plan.operation import Call, Http, Load, Submit
from brownout.plan.plan import Injection, Plan
from brownout.plan.topology import Topology, Workers
from brownout.plan.trigger import AfterFault, AtTime, OnEvent
from brownout.report.scenario import scenario
from brownout.run.setting import Setting
from brownout.run.store import Store
from brownout.subject.application import Surface
from brownout.subject.servers.ladder import Rung
from tests.unit.check_specimens import PROMISED
from tests.unit.test_faults import EXAMPLES

APPLICATION = Application(celery="app", api="app:api", queues=("celery", "cpu"))
KEPT = (answers({202, 503}, within="2s"), must_show("lost", under=at_least_once()), nothing_stuck())


@pytest.fixture
def new_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Lab]:
    """Labs that record their plan and run nothing."""
    monkeypatch.setattr("brownout.lab.surface", lambda *_: Surface(("app.work",), ("/jobs", "/health")))
    monkeypatch.setattr(Lab, "run", lambda lab: lab)
    monkeypatch.setattr(Lab, "must_hold", lambda _: None, raising=False)
    setting: Any = (tmp_path, Store(tmp_path, "run"), Rung("local", "redis", ""), None)
    return lambda: Lab(Setting("t.py::test_x", APPLICATION, *setting), 0, lambda _: "")


@pytest.fixture
def lab(new_lab: Callable[[], Lab]) -> Lab:
    return new_lab()


def again(plan: Plan, lab: Lab, note: str = "Shrunk.") -> tuple[Plan, str]:
    """The plan that the written test builds, and the test."""
    text = scenario(plan, "test_shrunk", lab.plan.topology, map(str, plan.promises), note)
    assert text
    found: dict[str, Any] = {}
    exec(compile(text, "test_shrunk.py", "exec"), found)
    found["test_shrunk"](lab)
    return lab.plan, text


def test_a_written_test_builds_the_plan_again(lab: Lab) -> None:
    usual = lab.plan.topology
    workers = replace(usual.workers, count=2, concurrency=3)
    plan = Plan(
        topology=replace(usual, workers=workers, beat=True, env={"PACE": "0.2"}, settings={"task_acks_late": False}),
        load=(
            post("/jobs", json={"n": "{n}", "of": [1]}, headers={"X": "1"}, every="80ms", count=3),
            get("/health", every="20ms", lasting="1s"),
            submit("app.work", 1, "a", every="2s", count=2, deep={"x": None}).with_options(countdown=2, queue="cpu"),
            submit("app.work", every="50ms").until("3s").on(event("ok", "client", nth=4)),
        ),
        injections=(
            Injection(kill(children=True), "worker-2", started(nth=3, source="worker-2"), event("exit", "worker-2")),
            Injection(hold(), "worker->broker", point("worker->broker", "ZADD unacked_index", nth=2), after("1s")),
            Injection(latency("300ms", stream="upstream"), "api->broker", at("1500ms"), after("500ms")),
            Injection(stop(), "api", effect(nth=2, name="work")),
            Injection(cut(), "client->api", event("started", "worker", delay="60ms", redelivered=True)),
        ),
        promises=KEPT,
        drain=7.5,
    )
    built, text = again(plan, lab)
    assert built == plan, text
    assert (built.load, dict(built.topology.env)) == (plan.load, {"PACE": "0.2"})
    assert built.to_json() == replace(plan, seed=0).to_json()
    assert text.startswith("import pytest\n\nfrom brownout import Lab, after, answers, at, at_least_once, cut, event")


def test_a_small_plan_is_a_test_of_about_ten_lines(lab: Lab) -> None:
    plan = Plan(
        lab.plan.topology, (post("/jobs", every="80ms", count=3),), (Injection(kill(), "api", started()),), KEPT[:1]
    )
    built, text = again(plan, lab)
    assert built == plan
    assert len(text.splitlines()) <= 12
    assert "    lab.inject(kill(), on='api', when=started())\n" in text


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_is_written_as_its_author_would(name: str) -> None:
    kind = FAULTS[name]
    fault = example(kind)
    for variant in (fault, *kind.weaker(fault)):
        assert eval(str(variant), vars(brownout.faults)) == variant


@pytest.mark.parametrize(
    "load",
    [
        Load(Call("app.work"), 1.0, count=1),
        replace(submit("app.work", every="1s", count=1), begin=2.0),
        replace(submit("app.work", every="1s", count=1), spread="poisson"),
        replace(submit("app.work", every="1s", count=1), lasting=3.0),
        Load(Http("GET", "/jobs", json=1), 1.0, count=1),
        Load(Submit("app.work", kwargs={"task": 1}), 1.0, count=1),
        Load(Submit("app.work", kwargs={"every": 1}), 1.0, count=1),
        Load(Submit("app.work", options={"task_id": "x"}), 1.0, count=1),
        post("/jobs", every="1s", count=1).on(replace(started(), data={"nth": 2})),
    ],
    ids=[
        "a call of a map",
        "begins later",
        "poisson",
        "two ends",
        "a body of GET",
        "task=",
        "every=",
        "task_id=",
        "nth=",
    ],
)
def test_what_the_lab_has_no_verbs_for_is_not_written(load: Load) -> None:
    assert scenario(Plan(load=(load,), promises=KEPT), "test_shrunk", Topology(), [], "") is None


# --- whatever the plan is, the written test builds it or is not written

ALL = Topology(Workers(2, queues=("celery", "cpu")), relay=True, beat=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
NAMES = (
    st.from_regex(r"[a-z_]\w*", fullmatch=True) | st.sampled_from(["café", *keyword.kwlist, "__debug__"]) | st.text()
)
DATA = st.dictionaries(NAMES, VALUES, max_size=2)
TIMES = st.floats(1e-7, 1e9) | st.integers(1, 5000).map(lambda ms: ms / 1000)
EVENTS = st.builds(
    lambda kind, source, nth, delay, data: replace(event(kind, source, nth, delay=delay), data=data),
    st.sampled_from(["ok", "started", "ended", "effect"]),
    st.sampled_from([None, "client", "worker", "worker-1"]),
    st.integers(1, 9),
    st.just(0) | TIMES,
    DATA,
)
POINTS = st.builds(
    lambda edge, nth, moment: point(edge, "ZADD unacked_index", nth=nth, moment=moment),
    st.sampled_from(["worker->broker", "worker-1->broker", "api->broker"]),
    st.integers(1, 9),
    st.sampled_from(["before", "after"]),
)
LOADS = st.builds(
    lambda load, lasting, when: replace(load.until(lasting), when=when),
    st.builds(
        lambda args, kwargs, options, every, count: Load(
            Submit("app.work", tuple(args), kwargs, options), every, count
        ),
        st.lists(VALUES, max_size=2),
        DATA,
        st.dictionaries(st.sampled_from(["queue", "link", "countdown"]), VALUES, max_size=2),
        TIMES,
        st.none() | st.integers(1, 9),
    )
    | st.builds(
        lambda json, headers, every, count: post("/jobs", json=json, headers=headers, every=every, count=count),
        VALUES, st.dictionaries(st.text(), st.text(), max_size=2), TIMES, st.none() | st.integers(1, 9),
    )
    | st.builds(lambda every: get("/health", every=every), TIMES),
    TIMES,
    st.none() | EVENTS | POINTS,
)  # fmt: skip


def possible(injection: Injection) -> bool:
    try:
        injection.check(ALL)
    except ValueError:
        return False
    return True


@st.composite
def injections(draw: st.DrawFn) -> Injection:
    """Of every fault and its weaker variants, on a target that it takes."""
    strong = draw(st.sampled_from(EXAMPLES))
    fault = draw(st.sampled_from([strong, *strong.kind.weaker(strong)]))
    heal: AfterFault | OnEvent | None = draw(st.none() | TIMES.map(after) | EVENTS)
    when: AtTime | OnEvent = draw(POINTS if fault.kind.needs_point else EVENTS | POINTS | TIMES.map(at))
    if fault.kind.moments and when.place:
        when = point(when.place.edge, when.place.command, nth=when.place.nth, moment=fault.kind.moments[0])
    taken = [of for on in ALL.targets if possible(of := Injection(fault, on, when, heal))]
    return draw(st.sampled_from(taken))


def keyword_of_a_call(name: str) -> bool:
    """What Python says of the name."""
    try:
        call = ast.parse(f"f({name}=1)", mode="eval").body
        compile(f"f({name}=1)", "", "eval")
    except (SyntaxError, ValueError):
        return False
    return isinstance(call, ast.Call) and not call.args and [item.arg for item in call.keywords] == [name]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(LOADS, max_size=2).map(tuple),
    st.lists(injections(), max_size=2).map(tuple),
    st.lists(st.sampled_from(sorted(PROMISED)), unique=True).map(lambda names: tuple(PROMISED[name] for name in names)),
    TIMES,
    # pytest escapes control characters in the ids of tests, with a backslash
    st.sampled_from([r"test[\xe9]", '"""', "\\"]) | st.text(st.characters(exclude_categories=["Cc", "Cs"])),
)
def test_a_written_test_builds_any_plan_again_or_is_not_written(
    new_lab: Callable[[], Lab], load: Any, strikes: Any, promises: Any, drain: float, note: str
) -> None:
    plan = Plan(ALL, load, strikes, promises, drain=drain)
    kwargs = [name for load_ in load if isinstance(load_.operation, Submit) for name in load_.operation.kwargs]
    data = [name for trigger in plan.triggers if not trigger.place for name in trigger.data]
    wrong = {"task", "every", "count"}.intersection(kwargs) | {"kind", "source", "nth", "delay"}.intersection(data)
    if wrong or not all(map(keyword_of_a_call, [*kwargs, *data])):
        assert scenario(plan, "test_shrunk", ALL, [], "") is None
        return
    built, text = again(plan, new_lab(), note)
    assert built == plan, text
    assert built.to_json() == plan.to_json(), text


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_every_promise_is_imported(lab: Lab, name: str) -> None:
    plan = Plan(lab.plan.topology, (get("/health", every="1s", count=1),), promises=(PROMISED[name],))
    built, text = again(plan, lab)
    assert built.promises == plan.promises
    assert re.search(rf"^from brownout import .*\b{name}\b", text, re.MULTILINE)
