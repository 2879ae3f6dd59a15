"""`brownout replay` and `brownout shrink` on forged trials: answers, exit codes, what is stored."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from brownout import (
    Application,
    at_least_once,
    capsules,
    cut,
    drained,
    kill,
    latency,
    must_show,
    shrinking,
    started,
    submit,
)
from brownout.capsules import Secrets
from brownout.check.verdict import Anomaly, Verdict
from brownout.cli import main
from brownout.explore.experiment import STOCK, WORKLOADS, Configuration, Experiment
from brownout.history.view import History
from brownout.plan.plan import Injection, Plan
from brownout.run import trial
from brownout.run.capsule import Capsule, write
from brownout.run.events import TrialEnded
from brownout.run.result import Result
from brownout.run.setting import Setting
from brownout.run.store import Store
from brownout.run.store import write as write_json
from brownout.subject.application import NotLaunched
from brownout.subject.servers.ladder import Rung

STOCK_NAME = "brownout.explore.experiment:STOCK"
KILL = Injection(kill(children=True), "worker-1", started())
OTHERS = (Injection(cut(), "worker->broker", started()), Injection(latency("1s"), "worker->broker", started()))
PLAN = Plan(load=(submit("tasks.work", every="50ms", count=8),), injections=(*OTHERS, KILL),
            promises=(at_least_once(), drained()))  # fmt: skip
ONE = replace(PLAN, injections=(KILL,))
Outcome = str | BaseException


@dataclass
class Trials:
    """Takes the place of the engine: what each trial of a plan comes to."""

    outcome: Callable[[Plan], Outcome]
    plans: list[Plan] = field(default_factory=list)

    def run(self, plan: Plan, setting: Setting) -> Result:
        self.plans.append(plan)
        outcome = self.outcome(plan)
        if isinstance(outcome, BaseException):
            raise outcome
        result = stored(setting.store.place("t"), plan, outcome)
        setting.emit(TrialEnded("t", result))
        return result


def stored(folder: Path, plan: Plan, outcome: str) -> Result:
    """The traces of a trial: `outcome` is "valid", "unknown", or a kind of anomaly."""
    validity: Any = outcome if outcome in ("valid", "unknown") else "invalid"
    anomalies = () if validity == outcome else (Anomaly(outcome, f"Operation op-1 is {outcome}."),)
    first, *others = map(str, plan.promises)
    verdicts = (Verdict(validity, first, anomalies, "not seen"), *(Verdict("valid", each) for each in others))
    told, _ = write(folder, plan, "tests/t.py::test_x", "")
    result = Result("tests/t.py::test_x", told, verdicts, History(), folder, 1.0)
    write_json(folder / "results.json", result.summary())
    write_json(folder / "env.json", {"celery": "5.6.0"})
    write_json(folder / "conf.json", {})
    return result


@pytest.fixture
def capsule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a trial in which something was lost."""
    monkeypatch.chdir(tmp_path)
    folder = Store(tmp_path / "store", "first").place("t.py::test_x")
    stored(folder, PLAN, "lost")
    return folder


@pytest.fixture
def forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Plan], Outcome]], Trials]:
    def forge(outcome: Callable[[Plan], Outcome]) -> Trials:
        trials = Trials(outcome)
        nothing: Any = None
        setting = Setting("tests/t.py::test_x", Application(celery="app"), tmp_path,
                          Store(tmp_path / "store", "second"), Rung("local", "redis", ""), nothing)  # fmt: skip

        def within(capsule: Capsule, job: Callable[[Setting], Any], secrets: Secrets | None = None) -> Any:
            return job(replace(setting, plan=secrets.filled(capsule).plan if secrets else capsule.plan))

        for module in (capsules, shrinking):
            monkeypatch.setattr(module, "within", within)
        for module in (trial, shrinking):
            monkeypatch.setattr(module, "run", trials.run)
        return trials

    return forge


def then(*outcomes: Outcome) -> Callable[[Plan], Outcome]:
    left: Iterator[Outcome] = iter(outcomes)
    return lambda _: next(left)


@pytest.mark.parametrize(
    ("outcomes", "code", "said"),
    [
        (["lost"], 1, "reproduced: lost under at_least_once(or_failure=True, proof='effect'): Operation op-1 is lost."),
        (["valid", "unknown", "lost"], 1, "(trial 3 of at most 3)"),
        (["valid", "valid", "valid"], 0, "fixed: no lost under at_least_once("),
        (["valid", "unknown", "valid"], 2, "unknown: at_least_once(or_failure=True, proof='effect') could not be"),
        (
            ["duplicate", "valid", "valid"],
            2,
            "unknown: the stored anomaly did not appear, but another anomaly did: duplicate",
        ),
        (["valid", NotLaunched("worker-1 ended with 1")], 2, "unknown: the trial could not be carried out: worker-1"),
    ],
    ids=str,
)
def test_a_replay_ends_with_the_first_anomaly_that_comes_again(
    capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str], outcomes: list[Outcome], code: int, said: str
) -> None:
    trials = forge(then(*outcomes))
    assert main(["replay", str(capsule)]) == code
    assert said in (out := capsys.readouterr().out)
    assert len(trials.plans) == len(outcomes)
    assert {plan.to_json() for plan in trials.plans} == {PLAN.to_json()}
    assert "  traces   store/t/" in out


def test_a_replay_says_what_differs_from_the_stored_trial(
    capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(capsule / "env.json", {"celery": "5.5.0"})
    (capsule / "conf.json").unlink()
    forge(then("lost"))
    main(["replay", str(capsule / "plan.json")])
    out = capsys.readouterr().out
    assert '  differs  celery: "5.5.0" in the stored trial, "5.6.0" now\n' in out
    assert "  differs  the settings of the stored trial are not known: there is no conf.json\n" in out


def needs_the_kill(plan: Plan) -> Outcome:
    kills = [injection for injection in plan.injections if injection.fault.name == "kill"]
    return "lost" if kills and (plan.load[0].count or 0) >= 3 else "valid"


def test_a_shrunk_capsule_is_printed_as_a_test_and_stored_beside(
    capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = forge(needs_the_kill)
    assert main(["shrink", str(capsule)]) == 0
    out, err = capsys.readouterr()
    assert "    lab.inject(kill(), on='worker-1', when=started())\n" in out
    assert out.count("lab.inject") == 1
    assert "    lab.load(submit('tasks.work', every='50ms', count=3))\n" in out
    assert "    lab.promise(at_least_once(or_failure=True, proof='effect'))\n" in out
    assert "keeps it  1 of 3 faults: kill(children=True) on worker-1 at worker started #1  (2 trials" in err
    assert "loses it  0 of 3 faults: none  (1 trials" in err
    assert f"in {len(trials.plans)} trials" in err

    small = Capsule.load(capsule / "shrunk")
    assert [str(injection.fault) for injection in small.plan.injections] == ["kill()"]
    assert small.plan.load[0].count == 3
    assert (capsule / "shrunk" / "test_shrunk.py").read_text() == out
    assert not (capsule / "tries").exists()
    forge(then("lost"))
    assert main(["replay", str(capsule / "shrunk")]) == 1


@pytest.fixture
def heard() -> Iterator[None]:
    """SIGINT works; a shell's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_the_smallest_so_far(
    capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str], heard: None, number: int, code: int
) -> None:
    """The stored plan, without any fault, and then without two faults: the next trial is interrupted."""
    outcomes = then("lost", "lost", "valid", "valid", "valid", "lost", "lost", "the signal")

    def outcome(plan: Plan) -> Outcome:
        came = outcomes(plan)
        if came == "the signal":
            signal.raise_signal(number)
        return came

    forge(outcome)
    assert main(["shrink", str(capsule)]) == code
    out, err = capsys.readouterr()
    assert out.count("lab.inject") == 1
    assert "stopped; the smallest plan so far follows" in err
    assert len(Capsule.load(capsule / "shrunk").plan.injections) == 1
    assert not (capsule / "tries").exists()


def test_control_c_at_the_moment_of_a_step_keeps_that_step(
    capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test that is printed is of the plan that is stored."""
    forge(then("lost", "lost", "valid", "valid", "valid", "lost", "lost"))

    def interrupted(_: shrinking.Shrinking, line: str) -> None:
        if line.startswith("keeps it  1 of 3"):
            raise KeyboardInterrupt

    monkeypatch.setattr("brownout.shrinking.Shrinking._say", interrupted)
    assert main(["shrink", str(capsule)]) == 130
    assert capsys.readouterr().out.count("lab.inject") == 1
    assert len(Capsule.load(capsule / "shrunk").plan.injections) == 1


def test_control_c_before_the_anomaly_came_again_stores_nothing(capsule: Path, forge: Any) -> None:
    forge(then("lost", KeyboardInterrupt()))
    assert main(["shrink", str(capsule)]) == 130
    assert {path.name for path in capsule.iterdir()} == {"plan.json", "results.json", "env.json", "conf.json", "log"}


def test_a_second_signal_does_not_end_the_storing(
    capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str], heard: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody presses Ctrl-C again because the copying takes long."""
    forge(then("lost", "lost", "valid", "valid", "valid", "lost", "lost", KeyboardInterrupt()))
    copy = shutil.copytree

    def copied(*given: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return copy(*given)

    monkeypatch.setattr(shutil, "copytree", copied)
    assert main(["shrink", str(capsule)]) == 130
    assert capsys.readouterr().out.count("lab.inject") == 1
    assert (capsule / "shrunk" / "test_shrunk.py").exists()


@pytest.mark.parametrize("command", ["replay", "shrink"])
def test_a_quiet_command_shows_only_its_answer(
    capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    for quiet in ([], ["-q"]):
        forge(needs_the_kill)
        main([command, str(capsule), *quiet])
        out, err = capsys.readouterr()
        assert out
        assert bool(err) != bool(quiet)


SECRETS = {"password": "hunter22", "user": "me"}


@pytest.mark.parametrize(
    ("command", "typed", "env", "code", "said"),
    [
        ("replay", ["--secret", "password=hunter22"], {}, 1, "password as given"),
        ("replay", [], {"BROWNOUT_SECRET_PASSWORD": "hunter22"}, 1, "password from the environment"),
        ("shrink", ["--secret", "password=hunter22"], {}, 0, "password as given"),
        ("replay", [], {}, 2, "type --secret with NAME=VALUE, or set in the environment: BROWNOUT_SECRET_PASSWORD"),
        ("shrink", ["--secret", "user=hunter22"], {}, 2, "are not stored, and the capsule lacks password; type"),
        ("replay", ["--secret", "password"], {}, 64, "--secret is NAME=VALUE: 'password'"),
    ],
)
def test_a_secret_that_is_not_stored_is_put_back(
    capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    command: str, typed: list[str], env: dict[str, str], code: int, said: str,
) -> None:  # fmt: skip
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    plan = replace(ONE, load=(submit("tasks.work", every="50ms", count=8, **SECRETS),))
    stored(capsule, plan, "lost")
    trials = forge(lambda _: "lost")
    assert main([command, str(capsule), *typed]) == code
    out, err = capsys.readouterr()
    assert said in out + err
    assert ({dict(plan.load[0].operation.kwargs)["password"] for plan in trials.plans} or {"hunter22"}) == {"hunter22"}
    assert bool(trials.plans) == (code < 2)
    assert "hunter22" not in out + err + "".join(path.read_text() for path in capsule.rglob("*") if path.is_file())


def test_a_replay_says_how_long_a_trial_takes(capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str]) -> None:
    forge(then("valid", "lost"))
    main(["replay", str(capsule)])
    assert capsys.readouterr().err.splitlines() == [
        "trial 1 of at most 3; the stored trial took 1 s",
        "trial 2 of at most 3; the stored trial took 1 s",
    ]


# --- a failure is kept as a test

PINNED = """import pytest

from brownout import Lab, at_least_once, cut, kill, latency, started, submit


@pytest.mark.chaos
def test_pinned_x(lab: Lab) -> None:
    \"\"\"Pinned: lost. Fixtures, marks and services are those of tests/t.py::test_x; seed 0.\"\"\"
    lab.topology(servers=1)
    lab.load(submit('tasks.work', every='50ms', count=8))
    lab.inject(cut(), on='worker->broker', when=started())
    lab.inject(latency(delay=1.0), on='worker->broker', when=started())
    lab.inject(kill(children=True), on='worker-1', when=started())
    lab.promise(at_least_once(or_failure=True, proof='effect'))
    lab.run().must_hold()
"""


def test_a_failure_is_pinned_as_a_test_of_the_promises_that_it_broke(
    capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    trials = forge(then())
    assert main(["pin", str(capsule)]) == 0
    assert capsys.readouterr() == (PINNED, "")
    assert main(["pin", str(capsule / "plan.json"), "--save", "new/test_it.py"]) == 0
    assert capsys.readouterr() == ("", "stored in new/test_it.py: pytest new/test_it.py\n")
    assert (tmp_path / "new" / "test_it.py").read_text() == PINNED
    assert trials.plans == [], "no trial is run"
    assert main(["pin", str(capsule), "--save", "new/test_it.py"]) == 64
    assert "new/test_it.py is there already; name a new file\n" in capsys.readouterr().err


def test_a_hole_that_a_test_expects_is_not_pinned(
    capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (capsule / "results.json").read_text()
    (capsule / "results.json").write_text(text.replace("at_least_once(or_failure=True, proof='effect')", "x"))
    plan = replace(PLAN, promises=(must_show("lost"),))
    write(capsule, plan, "tests/t.py::test_x", "")
    forge(then())
    assert main(["pin", str(capsule)]) == 64
    assert "broke no promise: its test expects all of its anomalies" in capsys.readouterr().err


def test_a_hole_that_was_expected_and_did_not_show_is_pinned(
    capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(capsule, replace(ONE, promises=(must_show("lost"),)), "missing")
    forge(then())
    assert main(["pin", str(capsule)]) == 0
    out = capsys.readouterr().out
    assert "Pinned: missing." in out
    assert "lab.promise(must_show(" in out


def test_a_cell_of_the_stock_map_is_pinned_as_an_item(capsule: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = "worker->broker/ZADD unacked_index;HSET unacked#1/before-cut"
    named(capsule, STOCK_NAME, plan=ONE, scenario=f"late+task_time_limit=3/task {cell}")
    assert main(["pin", str(capsule)]) == 0
    out = capsys.readouterr().out
    config, actions = "config='late+task_time_limit=3', workload='task'", "actions=['cut']"
    assert f"fault_map(\n    {config}, points=[{cell!r}], {actions}\n)\n" in out
    assert "def test_pinned_worker_broker_ZADD_unacked_index_HSET_unacked_1_before_cut(cell: MapCell) -> None:" in out
    compile(out, "pinned", "exec")


@pytest.mark.parametrize(
    ("application", "scenario", "why"),
    [
        ("shop.maps:one", "late/task worker->broker/ZADD x#1/before-cut", "it is of another application"),
        ("", "late/tsak worker->broker/ZADD x#1/before-cut", "names no test and no application"),
        ("STOCK", "late/tsak worker->broker/ZADD x#1/before-cut", "'tsak'"),
        ("STOCK", "laet/task worker->broker/ZADD x#1/before-cut", "no configuration is called 'laet'; did you mean"),
        (
            "STOCK",
            "late/task a->b/C k#1/before-cut and a->b/C k#2/before-cut",
            "no cell of the stock application's map: it has 3 faults",
        ),
    ],
)
def test_what_cannot_be_pinned_says_why(
    capsule: Path, capsys: pytest.CaptureFixture[str], application: str, scenario: str, why: str
) -> None:
    plan = PLAN if " and " in scenario else ONE
    named(capsule, application.replace("STOCK", STOCK_NAME), scenario, plan)
    assert main(["pin", str(capsule)]) == 2
    out = capsys.readouterr().out
    assert out.startswith("unknown: ")
    assert why in out
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("outcomes", "more"),
    [(["lost", "valid"], []), (["duplicate"], []), (["unknown", "unknown"], []), (["lost", "valid", "valid"], ["2/3"])],
)
def test_what_does_not_come_again_is_not_shrunk(
    capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str], outcomes: list[Outcome], more: list[str]
) -> None:
    trials = forge(then(*outcomes))
    assert main(["shrink", str(capsule), *(["--confirm", *more] if more else [])]) == 2
    assert "unknown: lost under at_least_once" in capsys.readouterr().out
    assert len(trials.plans) == len(outcomes)
    assert not (capsule / "shrunk").exists()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["pin", "nowhere"], "brownout pin: error: nowhere is no stored trial that has ended"),
        (["pin", "FINE"], "found no anomaly"),
        (["replay", "nowhere"], "brownout replay: error: nowhere is no stored trial that has ended: there is no "),
        (["shrink", "nowhere"], "brownout shrink: error: nowhere is no stored trial"),
        (["replay", "FILE", "--tries", "0"], "argument --tries: a whole number from 1 is wanted, not '0'"),
        (["shrink", "FILE", "--confirm", "3/2"], "argument --confirm: N/M is wanted, such as 2/2 or 3/5, not '3/2'"),
        (["shrink", "FILE", "--confirm", "2"], "not '2'"),
        (["shrink", "FILE", "--anomaly", "lots"], "no anomaly of this trial is called 'lots'; did you mean 'lost'"),
        (["replay", "FINE"], "found no anomaly, so there is none to reproduce; run it again: pytest "),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_wrong_command_is_one_line(
    capsule: Path, forge: Any, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    forge(then())
    fine = Store(capsule.parents[1], "first").place("fine")
    stored(fine, PLAN, "valid")
    try:
        code = main([{"FILE": str(capsule), "FINE": str(fine)}.get(argument, argument) for argument in argv])
    except SystemExit as ended:
        code = int(ended.code or 0)
    out, err = capsys.readouterr()
    assert (code, out) == (64, "")
    assert said in err
    assert "Traceback" not in err


# --- what a trial runs in


def named(folder: Path, application: Any, scenario: str = "defaults/task", plan: Plan = PLAN) -> Path:
    results = replace(stored(folder, plan, "lost"), scenario=scenario)
    write(folder, plan, scenario, application)
    write_json(folder / "results.json", results.summary())
    return folder


@pytest.mark.parametrize(
    ("application", "scenario", "said"),
    [
        ("nowhere:app", "defaults/task", "the application nowhere:app cannot be imported from "),
        ("brownout.explore.experiment:STCK", "defaults/task", "cannot be imported"),
        ("brownout.explore.experiment:DEFAULTS", "defaults/task", "must be a brownout.Application or an experiment"),
        ("", "own/http", "names no test and no application"),
        ("", "tests/gone.py::test_x", "there is no tests/gone.py in "),
    ],
)
def test_a_plan_that_cannot_be_run_alone_says_why(
    capsule: Path, capsys: pytest.CaptureFixture[str], application: str, scenario: str, said: str
) -> None:
    named(capsule, application, scenario)
    for command in ("replay", "shrink"):
        assert main([command, str(capsule)]) == 2
        out = capsys.readouterr().out
        assert out.startswith("unknown: ")
        assert said in out
        assert out.count("\n") == 1


def experiment(application: Application, name: str = "") -> Experiment:
    return Experiment(application, Path(), Configuration("own", ""), WORKLOADS["task"], "t", name=name)


def test_an_application_is_named_where_it_can_be_found_again() -> None:
    own = Application(celery="shop:app", env={"URL": "{broker}", "API_TOKEN": "x", "DB": "pg://u:x@h/"}, queues=("a",))
    assert experiment(STOCK).application_name == "brownout.explore.experiment:STOCK"
    assert experiment(replace(own, effects=STOCK.effects), "shop.maps:one").application_name == "shop.maps:one"
    assert experiment(replace(own, effects=STOCK.effects)).application_name == ""
    fields = experiment(own).application_name
    shown = {"is": "Application", "celery": "shop:app", "env": dict(own.env), "queues": ["a"]}
    assert fields == shown  # `capsule.write` leaves the secrets out
