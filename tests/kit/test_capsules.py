"""What a capsule is run in: signals, time limits, the store, the experiment's root; the trials are forged."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brownout import Application
from brownout.capsules import within
from brownout.cli import main
from brownout.explore.experiment import OWN, WORKLOADS, Experiment
from brownout.plan.plan import Plan
from brownout.run.capsule import Capsule, write
from brownout.run.setting import Setting
from brownout.run.store import Store, new_run
from brownout.run.store import write as write_json
from brownout.subject.servers import ladder
from brownout.subject.servers.ladder import Rung

LIMIT = """
import pytest
from pathlib import Path

class Hooks:
    @pytest.hookspec(firstresult=True)
    def pytest_timeout_set_timer(self, item, settings):
        "As pytest-timeout declares it."

def pytest_addhooks(pluginmanager):
    pluginmanager.add_hookspecs(Hooks)

def pytest_timeout_set_timer(item, settings):
    Path(__file__).with_name("timer").touch()
    return True

def pytest_runtest_setup(item):
    item.ihook.pytest_timeout_set_timer(item=item, settings=None)
"""
CONFTEST = """
import pytest
from brownout import Application

@pytest.fixture(scope="session")
def application():
    return Application(celery="app")
"""
SCENARIO = "def test_x(lab): lab.run()\n"
FIXTURE = "import pytest, signal\n@pytest.fixture\ndef lab(lab):\n"
#: Where a signal comes, outside of the trial.
SIGNALLED = {
    "collection": "import signal\nsignal.raise_signal(NUMBER)\n",
    "fixture": f"{FIXTURE}    signal.raise_signal(NUMBER)\n",
    "swallowed": f"{FIXTURE}    try: signal.raise_signal(NUMBER)\n    except BaseException: return lab\n",
    "teardown": f"{FIXTURE}    yield lab\n    signal.raise_signal(NUMBER)\n",
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project in the current directory. What its tests import, and pytest's handlers of signals, are undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(ladder, "choose", lambda *_, **__: Rung("local", "redis", ""))
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:asyncio -p no:schemathesis\n")
    imported, handlers = set(sys.modules), {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    # A shell starts what runs in its background with SIGINT ignored, and Python leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for name in set(sys.modules) - imported:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def capsule(folder: Path, application: str = "") -> Capsule:
    """The trial is of test_capsule.py::test_x, or of a map of the application."""
    folder.mkdir(parents=True)
    scenario = "own/task" if application else "test_capsule.py::test_x"
    write(folder, Plan(), scenario, application)
    lost = {"kind": "lost", "sentence": "Operation op-1 is lost."}
    verdict = {"promise": "at_least_once()", "validity": "invalid", "anomalies": [lost]}
    write_json(folder / "results.json", {"scenario": scenario, "verdicts": [verdict]})
    write_json(folder / "env.json", {"launch": "cold"})
    return Capsule.load(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", SIGNALLED)
def test_a_signal_outside_of_the_trial_ends_the_replay(
    project: Path, capsys: pytest.CaptureFixture[str], where: str, number: signal.Signals
) -> None:
    source = SIGNALLED[where].replace("NUMBER", str(int(number))) + SCENARIO
    (project / "test_capsule.py").write_text(source)
    stored = capsule(project / "trial")
    before = signal.getsignal(number)
    assert main(["replay", str(stored.folder)]) == 128 + number
    assert capsys.readouterr().out == ""
    assert signal.getsignal(number) is before


def test_a_signal_that_the_job_handles_is_no_error(project: Path) -> None:
    """`brownout shrink` answers Ctrl-C with the smallest plan so far."""

    def job(_: Setting) -> str:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            return "the smallest so far"
        return "no signal came"

    (project / "test_capsule.py").write_text(SCENARIO)
    assert within(capsule(project / "trial"), job) == "the smallest so far"


def test_a_collection_that_fails_is_no_signal(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """pytest has the same exit code for both."""
    (project / "test_capsule.py").write_text("import no_such_module\n")
    assert main(["replay", str(capsule(project / "trial").folder)]) == 2
    assert "ran no trial" in capsys.readouterr().out


def test_a_replay_that_is_cut_off_is_unknown(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python's own exit code would be 1, which means "reproduced"."""
    monkeypatch.setattr("brownout.run.trial.run", lambda *_: pytest.fail("Timeout (>1.0s)\nfrom pytest-timeout"))
    (project / "test_capsule.py").write_text(SCENARIO)
    monkeypatch.setattr(Plan, "validated", lambda plan: plan)
    assert main(["replay", "-q", str(capsule(project / "trial").folder)]) == 2
    assert capsys.readouterr() == (
        "",
        "brownout replay: unknown: it was cut off by Failed: Timeout (>1.0s)\\nfrom pytest-timeout\n",
    )


def test_the_time_limit_of_the_test_is_not_that_of_the_replay(project: Path) -> None:
    (project / "conftest.py").write_text(CONFTEST + LIMIT)
    (project / "test_capsule.py").write_text(SCENARIO)
    timer = project / "timer"
    pytest.main(["-q", "--chaos-launch=cold", "test_capsule.py"])  # fails: the scenario has no load
    assert timer.exists(), "the forged plugin sets timers"
    timer.unlink()
    assert not within(capsule(project / "trial"), lambda _: timer.exists())


def test_the_store_keeps_a_capsule_that_is_replayed(project: Path) -> None:
    """The first trial of the replay prunes the store."""
    (project / "test_capsule.py").write_text(SCENARIO)
    old, newer = "20200101T000000000000-abcdef", "20200101T000001000000-abcdef"
    root = project / "store"
    trials = []
    for run in (old, newer):  # listed as by processes that have ended
        trial = root / "t" / run[:21]
        trials.append(capsule(trial))
        (root / ".runs").mkdir(exist_ok=True)
        (root / ".runs" / run).write_text(f"t/{trial.name}\n")
    within(trials[0], lambda setting: Store(setting.store.root, new_run(), keep=1).place("t"))
    assert [trial.folder.exists() for trial in trials] == [True, False]


def test_a_cell_is_replayed_in_its_missions_root_and_by_its_launcher(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = Experiment(Application(celery="shop:app"), project / "shop", OWN, WORKLOADS["task"], "shop.send")
    monkeypatch.setattr(sys.modules[__name__], "EXPERIMENT", experiment, raising=False)
    experiment.root.mkdir()  # else no forker starts there, and every launcher is cold
    stored = capsule(project / "trial", f"{__name__}:EXPERIMENT")
    assert within(stored, lambda setting: (setting.root, setting.launcher.kind)) == (project / "shop", "cold")
