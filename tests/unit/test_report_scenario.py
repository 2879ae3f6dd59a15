"""A plan that is written as a test builds the same plan when the test runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

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
from brownout.plan.fault import FAULTS
from brownout.plan.operation import Call, Load
from brownout.plan.plan import Injection, Plan
from brownout.plan.topology import Topology
from brownout.report.scenario import scenario
from brownout.run.setting import Setting
from brownout.run.store import Store
from brownout.subject.application import Surface
from brownout.subject.ladder import Rung

APPLICATION = Application(celery="app", api="app:api", queues=("celery", "cpu"))
KEPT = (answers({202, 503}, within="2s"), must_show("lost", under=at_least_once()), nothing_stuck())


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr("brownout.lab.surface", lambda *_: Surface(("app.work",), ("/jobs", "/health")))
    monkeypatch.setattr(Lab, "run", lambda lab: lab)
    monkeypatch.setattr(Lab, "must_hold", lambda _: None, raising=False)
    setting: Any = (tmp_path, Store(tmp_path, "run"), Rung("local", "redis", ""), None)
    return Lab(Setting("t.py::test_x", APPLICATION, *setting), 0, lambda _: "")


def again(plan: Plan, lab: Lab) -> tuple[Plan, str]:
    """The plan that the written test builds, and the test."""
    text = scenario(plan, "test_shrunk", lab.plan.topology, map(str, plan.promises), "Shrunk.")
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
    given = {"delay": 1.0, "rate": 8, "size": 8, "bytes": 8, "times": 2, "state": "oom"}
    fault = kind.make(**{key: value for key, value in given.items() if key in kind.make.__annotations__})
    for variant in (fault, *kind.weaker(fault)):
        assert eval(str(variant), vars(brownout.faults)) == variant


@pytest.mark.parametrize(
    "load",
    [
        Load(Call("app.work"), 1.0, count=1),
        replace(submit("app.work", every="1s", count=1), begin=2.0),
        replace(submit("app.work", every="1s", count=1), spread="poisson"),
    ],
    ids=["a call of a map", "begins later", "poisson"],
)
def test_what_the_lab_has_no_verbs_for_is_not_written(load: Load) -> None:
    assert scenario(Plan(load=(load,), promises=KEPT), "test_shrunk", Topology(), [], "") is None
