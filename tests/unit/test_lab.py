"""The verbs of a scenario build a plan, and refuse what is misspelt; nothing runs."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import brownout
from brownout import Application, Lab, at_least_once, authoring, kill, post, refuse, started, submit
from brownout.plan.near import UnknownName
from brownout.plan.operation import Submit
from brownout.plan.plan import Plan
from brownout.plan.topology import Topology, TopologyFields, Workers, WorkersFields
from brownout.probes.surface import parameters
from brownout.run.result import Result
from brownout.run.setting import Setting
from brownout.run.store import Store
from brownout.subject.application import NotLaunched, Surface, surface
from brownout.subject.servers.ladder import Rung
from tests.unit.report_specimens import BROKEN, result

APPLICATION = Application(celery="app", api="app:api", relay=("app.relay",), queues=("celery", "cpu"))
WORK = post("/jobs/7", every="50ms", count=3)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    takes = {"app.resize": ("width", "queue"), "app.any": None}
    offered = Surface(tuple(takes), ("/jobs/{id}", "/health"), takes=takes)
    monkeypatch.setattr("brownout.lab.surface", lambda *_: offered)
    setting = Setting(
        "t.py::test_x", APPLICATION, tmp_path, Store(tmp_path, "run"), Rung("local", "redis", ""), lambda *_: _never()
    )
    return Lab(setting, 42, lambda _: "what a person reads")


def _never() -> Any:
    raise AssertionError("nothing is to be started")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Plans that were run; each comes out as BROKEN."""
    plans: list[Plan] = []

    def run(plan: Plan, _: Setting) -> Result:
        plans.append(plan)
        return result(BROKEN)

    monkeypatch.setattr("brownout.lab.run", run)
    return plans


def test_the_verbs_build_a_plan(lab: Lab, ran: list[Plan]) -> None:
    lab.workers(2, pool="solo")
    lab.topology(relay=False)
    lab.load(WORK, submit("app.resize", every="1s"), lasting="3s")
    lab.inject(kill(), on="worker-1", when=started(nth=2))
    lab.promise(at_least_once(within="4s"))
    lab.drain("7s")
    lab.run()

    (plan,) = ran
    assert Plan.from_json(plan.to_json()) == plan == lab.plan
    assert plan.topology.processes == ("api", "worker-1", "worker-2")
    assert [load.lasting for load in plan.load] == [None, 3.0]
    assert (plan.seed, plan.drain, str(plan.injections[0])) == (42, 7.0, "kill() on worker-1 at worker started #2")


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda lab: lab.load(submit("app.resise", every="1s", count=1)), "no task is called 'app.resise'.*app.resize"),
        (lambda lab: lab.load(post("/job/7", every="1s", count=1)), "no route is called '/job/7'.*'/jobs/{id}'"),
        (lambda lab: lab.inject(kill(), on="worker-3", when=started()), "no target is called 'worker-3'.*'worker-1'"),
        (lambda lab: lab.inject(refuse(), on="api->brokr", when=started()), "'api->brokr'.*'api->broker'"),
        (lambda lab: lab.inject(refuse(), on="worker-1->api", when=started()), "no target is called"),
        (lambda lab: lab.inject(kill(), on="api->broker", when=started()), "kill cannot strike 'api->broker'; its"),
        (lambda lab: lab.inject(kill(), on="api", when=started(source="wroker")), "no source.*'worker'"),
        (lambda _: brownout.event("startd"), "no event is called 'startd'.*'started'"),
        (lambda _: brownout.must_show("losst"), "no anomaly is called 'losst'.*'lost'"),
        (lambda _: at_least_once(proof="efect"), "'efect'.*'effect'"),  # type: ignore[arg-type]
        (lambda _: brownout.latency("2 sec"), "2 sec"),
        (lambda _: brownout.latency(dely="2s"), "'delay'"),  # type: ignore[call-arg]
        (lambda lab: lab.workers(2, pol="solo"), "pol"),
        (lambda lab: lab.load(submit("app.resize", every="1s")), "has no end"),
        (lambda lab: lab.load(submit("app.resize", every="1s", count=1, countdown=2)),
         r"no parameter 'countdown'; as an option of apply_async it is submit\(...\).with_options\(countdown=...\)"),
        (lambda lab: lab.topology(servers=2), "one API process or none"),
    ],
)  # fmt: skip
def test_what_is_misspelt_fails_where_it_is_written(lab: Lab, wrong: Callable[[Lab], object], hint: str) -> None:
    with pytest.raises((ValueError, TypeError), match=hint):
        wrong(lab)


def test_options_and_arguments_of_a_task_have_places_of_their_own(lab: Lab) -> None:
    lab.load(submit("app.resize", 9, every="1s", count=1, queue="mine").with_options(queue="slow", countdown=2))
    lab.load(submit("app.any", every="1s", count=1, countdown=3))  # who takes any keyword takes this one, too
    mine, any_ = (load.operation for load in lab.plan.load)
    assert isinstance(mine, Submit)
    assert isinstance(any_, Submit)
    assert (mine.kwargs, mine.options) == ({"queue": "mine"}, {"queue": "slow", "countdown": 2})
    assert (any_.kwargs, any_.options) == ({"countdown": 3}, {})
    assert Plan.from_json(replace(lab.plan, promises=(at_least_once(),)).to_json()).load == lab.plan.load


def test_an_application_tells_what_its_tasks_take() -> None:
    root = Path(__file__).parents[2]
    takes = surface(Application(celery="system.worker"), root).takes
    assert takes["system.divide"] == ()  # it takes positions alone
    assert parameters(lambda first, *more, queue=1: (first, more, queue)) == ["first", "queue"]
    assert parameters(lambda **_: None) is None
    assert parameters(dict) is None  # without a signature that Python can tell


def test_near_matches_are_names_and_not_guesses(lab: Lab) -> None:
    with pytest.raises(UnknownName, match=r"no target is called 'zzz'; known: .*worker-1"):
        lab.inject(kill(), on="zzz", when=started())


@pytest.mark.parametrize("missing", ["load", "promise"])
def test_a_plan_that_proves_nothing_is_not_run(lab: Lab, ran: list[Plan], missing: str) -> None:
    if missing != "load":
        lab.load(WORK)
    if missing != "promise":
        lab.promise(at_least_once())
    with pytest.raises(ValueError, match=r"there is no load|nothing is promised"):
        lab.run()
    assert ran == []


def test_what_cannot_be_started_is_told_in_its_own_words(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object) -> Result:
        error = NotLaunched("worker-1 ended with exit code 1 before it was ready: no module named gevent")
        error.add_note("seed 42; the history and the logs are in store/x")
        raise error

    monkeypatch.setattr("brownout.lab.run", run)
    lab.load(WORK)
    lab.promise(at_least_once())
    with pytest.raises(pytest.fail.Exception) as failed:
        lab.run()
    assert str(failed.value) == (
        "worker-1 ended with exit code 1 before it was ready: no module named gevent\n"
        "seed 42; the history and the logs are in store/x"
    )
    assert failed.value.pytrace is False


def test_what_does_not_hold_fails_with_what_a_person_reads(lab: Lab, ran: list[Plan]) -> None:
    lab.load(WORK)
    lab.promise(at_least_once())
    with pytest.raises(pytest.fail.Exception, match="what a person reads"):
        lab.run().must_hold()


def test_a_scenario_can_not_be_green_by_accident(lab: Lab, ran: list[Plan]) -> None:
    assert "never run" in lab.unasked()
    lab.load(WORK)
    lab.promise(at_least_once())
    outcome = lab.run()
    assert "never checked" in lab.unasked()
    assert outcome.result.validity == "invalid"
    assert lab.unasked() == ""


# --- from brownout import ...


def test_every_name_of_the_authors_is_there() -> None:
    from brownout import faults
    from brownout.check import promises

    there = {name for name in vars(authoring) if not name.startswith("_")}
    assert sorted(authoring.__all__) == sorted(there), "each of them once"
    assert {*promises.__all__, *faults.__all__} <= there
    assert all(getattr(brownout, name) is getattr(authoring, name) for name in there)


def test_a_name_that_there_is_not_is_an_error() -> None:
    with pytest.raises(AttributeError, match="module 'brownout' has no attribute 'at_leest_once'"):
        # mypy, which calls an `ignore` that it does not need an error, proves here that types reach the authors.
        brownout.at_leest_once  # type: ignore[attr-defined] # noqa: B018


def test_pytest_starts_without_what_scenarios_need() -> None:
    heavy = "{'celery', 'redis', 'httpx', 'psutil', 'fastapi', 'docker', 'testcontainers', 'brownout.authoring'}"
    # pytest's own look at a module asks for names like this one.
    asked = "import pytest, brownout.pytest_plugin, sys; hasattr(sys.modules['brownout'], '__wrapped__')"
    code = f"{asked}; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("fields", "of", "own"), [(TopologyFields, Topology, set()), (WorkersFields, Workers, {"count"})]
)
def test_the_keywords_of_a_verb_are_the_fields_that_it_changes(fields: type, of: type, own: set[str]) -> None:
    hints = {name: hint for name, hint in get_type_hints(of).items() if name not in own}
    assert get_type_hints(fields) == hints
