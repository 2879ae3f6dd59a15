"""Plans: values that go through JSON and back, and that refuse what cannot be carried out."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brownout.check import promises as p
from brownout.plan.codec import decode, encode
from brownout.plan.fault import FAULTS, Fault, FaultKind, register
from brownout.plan.near import UnknownName
from brownout.plan.operation import get, post, submit
from brownout.plan.plan import Injection, Plan
from brownout.plan.promise import Promise
from brownout.plan.topology import Topology, Workers
from brownout.plan.trigger import after, at, ended, event, started


def kill(how: str = "SIGKILL") -> Fault:
    """A process is killed.

    More words.
    """
    return Fault("test-kill", {"how": how})


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = FaultKind("test-kill", kill, frozenset({"worker"}), "it is started again")
    monkeypatch.setitem(FAULTS, "test-kill", kind)


PLAN = Plan(
    topology=Topology(workers=Workers(2), relay=True, env={"A": "1"}),
    load=(
        post("/process-data", json={"items": [1, 2], "echo": "{key}"}, every="100ms", count=20),
        get("/health-check", every="20ms").until("6s"),
        submit("tasks.add", 1, 2, every=0.5, count=3, deep={"x": [None, True]}),
    ),
    injections=(Injection(kill(), "worker-1", started(nth=5), after("3s")), Injection(kill(), "worker-2", at("1s"))),
    promises=(p.at_least_once(within="5s"), p.answers({503, 202}, within="2s"), p.drained()),
    seed=2**64 - 1,
)


def test_a_plan_goes_through_json_and_back() -> None:
    again = Plan.from_json(PLAN.to_json())
    assert again == PLAN
    assert again.to_json() == PLAN.to_json()
    assert "persistent" not in PLAN.to_json()  # what is as usual is left out
    assert again.id == PLAN.id
    assert again.load[2].operation == PLAN.load[2].operation
    assert dict(again.promises[0].args) == dict(PLAN.promises[0].args)
    assert dict(again.topology.env) == {"A": "1"}


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 9),
    st.lists(st.sampled_from(["prefork", "solo", "threads"]), max_size=3),
    st.dictionaries(st.text(), st.text() | st.none() | st.lists(st.integers()), max_size=3),
)
def test_any_content_goes_through_json_and_back(
    seed: int, count: int, names: list[str], args: dict[str, object]
) -> None:
    trigger = event("started", "worker", 3, delay="5ms", **{f"d{k}": v for k, v in args.items()})
    plan = replace(
        PLAN,
        seed=seed,
        topology=Topology(Workers(count, options=tuple(names))),
        injections=(Injection(Fault("x", args), "broker", trigger),),
    )
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert dict(again.injections[0].fault.args) == args
    assert dict(again.injections[0].when.data) == dict(trigger.data)


def test_the_id_is_of_the_content_and_the_same_in_every_process() -> None:
    code = f"from brownout.plan.plan import Plan; print(Plan.from_json({PLAN.to_json()!r}).id)"
    env = os.environ | {"PYTHONHASHSEED": "7"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == PLAN.id
    assert replace(PLAN, seed=1).id != PLAN.id
    assert len(PLAN.id) == 10
    one, two = ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    ids = {replace(PLAN, topology=Topology(env={k: str(v) for k, v in env.items()})).id for env in (one, two)}
    assert len(ids) == 1


def test_another_schema_and_a_strange_field_are_refused() -> None:
    with pytest.raises(ValueError, match="another schema"):
        Plan.from_json(PLAN.to_json().replace('"schema":1', '"schema":2'))
    with pytest.raises(ValueError, match="Workers has no field cuont"):
        decode(Workers, encode(Workers(3)) | {"cuont": 3})


def test_a_good_plan_is_validated() -> None:
    assert PLAN.validated(tasks=["tasks.add"], routes=["/process-data", "/health-check"]) is PLAN
    jobs = replace(PLAN, load=(get("/jobs/7?full=1", every=1, count=1),))
    assert jobs.validated(routes=["/jobs/{job_id}"]) is jobs


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (replace(PLAN, load=()), "there is no load"),
        (replace(PLAN, promises=()), "nothing is promised"),
        (replace(PLAN, seed=2**64), "64 bits"),
        (replace(PLAN, load=(get("/health-check", every=1),)), "has no end"),
        (replace(PLAN, load=(get("/health-chek", every=1, count=1),)), "did you mean '/health-check'"),
        (replace(PLAN, load=(submit("tasks.ad", every=1, count=1),)), "did you mean 'tasks.add'"),
        (replace(PLAN, topology=Topology(servers=0)), "needs an API"),
        (replace(PLAN, injections=(Injection(kill(), "worker-9", at(1)),)), "no target is called 'worker-9'; did you"),
        (replace(PLAN, injections=(Injection(kill(), "broker", at(1)),)), "strike 'broker'; its targets are: worker"),
        (replace(PLAN, injections=(Injection(Fault("test-kil"), "worker-1", at(1)),)), "did you mean 'test-kill'"),
        (replace(PLAN, injections=(Injection(kill(), "worker-1", started(source="wroker")),)), "did you mean 'worker'"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_with_a_hint(plan: Plan, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plan.validated(tasks=["tasks.add"], routes=["/process-data", "/health-check"])


def test_targets_and_edges_follow_from_the_processes() -> None:
    topology = Topology(Workers(2), servers=1, relay=True, beat=True)
    assert topology.processes == ("api", "worker-1", "worker-2", "relay", "beat")
    assert topology.links == (
        *("client->api", "api->broker", "api->backend", "worker->broker", "worker->backend"),
        *("relay->broker", "beat->broker"),
    )
    for servers in (2, -1):
        with pytest.raises(ValueError, match=rf"one API process or none \(`servers` is 0 or 1\), not {servers}"):
            Topology(Workers(0), servers=servers)
    assert Topology(edges=("a->b",)).links == ("a->b",)
    with pytest.raises(ValueError, match="0 or more workers"):
        Workers(-1)


def test_a_fault_reads_as_it_was_written_and_has_a_row() -> None:
    assert str(kill()) == "test-kill(how='SIGKILL')"
    assert kill().kind.row == "A process is killed."
    assert kill().kind.weaker(kill()) == ()
    assert str(PLAN.injections[0]) == "test-kill(how='SIGKILL') on worker-1 at worker started #5"


def test_a_promise_shows_no_digits_of_binary_fractions() -> None:
    assert str(Promise("at_least_once", {"within": 1.1 + 2.2, "proof": None})) == "at_least_once(within=3.3)"
    assert str(Promise("at_least_once", {"within": 30.0})) == "at_least_once(within=30.0)"


def test_two_faults_of_one_name_are_refused() -> None:
    assert register(FAULTS["test-kill"]) is FAULTS["test-kill"]
    with pytest.raises(ValueError, match="two faults"):
        register(FaultKind("test-kill", kill, frozenset(), ""))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: event("strated"), "did you mean 'started'"),
        (lambda: ended(nth=0), "counted from 1"),
        (lambda: p.at_least_once(within="5 parsecs"), "not a time"),
        (lambda: p.at_least_once(proof="efect"), "did you mean 'effect'"),  # type: ignore[arg-type]
        (lambda: p.must_show("losst"), "did you mean 'lost'"),
        (lambda: p.must_show("lost", under=p.drained()), "no anomaly of drained is called 'lost'"),
        (lambda: get("health", every=1), "begins with a slash"),
        (lambda: get("/x", every=0), "more than 0"),
        (lambda: get("/x", every=1, count=0), "at least 1"),
        (lambda: get("/x", every=1, count=1).with_options(queue="slow"), "options are for tasks"),
        (lambda: submit("t", every=1).with_options(cuontdown=2), "did you mean 'countdown'"),  # type: ignore[call-arg]
        (lambda: submit("t", every=1).with_options(task_id="t1"), "no option of apply_async is called 'task_id'"),  # type: ignore[call-arg]
    ],
)
def test_a_misspelling_fails_when_it_is_written(make: object, says: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=says):
        make()


def test_an_unknown_name_without_a_near_one_lists_all() -> None:
    with pytest.raises(UnknownName, match="known: tasks"):
        replace(PLAN, load=(submit("zzz", every=1, count=1),)).validated(tasks=["tasks"])
