"""What a person who waits sees on a real terminal (a pty), with and without xdist. Trials are forged."""

import re

import pytest

from tests.kit.forged_project import forge, on_terminal, run_apart

pytest_plugins = ["pytester"]

#: Shows the progress from the first moment on, and waits where a trial would take long.
IMPATIENT = """
import brownout.report.collector, brownout.report.progress
brownout.report.collector.PATIENCE = brownout.report.progress.PATIENCE = 0.0
brownout.report.progress.TICK = 0.01


def waits(shown):
    import time
    return time.sleep(0.3)
"""
SCENARIOS = """
from conftest import waits

@pytest.fixture(autouse=True)
def slow(forged, monkeypatch):
    import brownout.lab
    forged_run = brownout.lab.run
    def run(plan, setting):
        from brownout.run.events import Phase, TrialStarted
        setting.emit(TrialStarted(setting.scenario))
        setting.emit(Phase("drain", setting.scenario))
        waits(None)
        return forged_run(plan, setting)
    monkeypatch.setattr("brownout.lab.run", run)

@pytest.mark.outcome("valid")
@pytest.mark.parametrize("n", range(3))
def test_many(bench, n):
    bench.run().must_hold()

@pytest.mark.outcome("invalid")
def test_bad(bench):
    bench.run().must_hold()
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    made = forge(pytester, monkeypatch, SCENARIOS)
    with (made.path / "conftest.py").open("a") as conftest:
        conftest.write(IMPATIENT)
    return made


def test_a_trial_shows_its_phase_and_how_long_the_tests_take(project: pytest.Pytester) -> None:
    first = on_terminal(project)
    assert re.search(r" drain \d s", first)
    assert re.search(r"drain \d s · [1-3] of 4 tests · about \d+ s left", first), first
    second = on_terminal(project, "-k", "test_many and 0")
    assert re.search(r" drain 0 s · about \d s left", second), "the stored trial took 1.5 s"
    assert re.search(r"\x1b\[K\x08+", first), "the cursor goes back behind the dots"


@pytest.mark.parametrize("columns", [30, 200])
def test_under_xdist_the_controller_shows_how_far_it_is(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = on_terminal(project, "-n", "2")
    assert "✗ test_bad" in shown
    texts = re.findall(r" ([1-3] of 4 tests[^\x1b\n]*)\x1b\[K", shown)
    assert texts, shown
    if columns == 200:
        assert all(re.fullmatch(r"\d of 4 tests · about \d+ s left", text) for text in texts)
    else:
        assert all(len(text) < columns for text in texts), texts
    last = shown.rindex("tests · about" if columns == 200 else texts[-1])
    assert re.search(r"\x1b\[K", shown[last:]), "it is removed before the end"
    assert "of 4 tests" not in shown[shown.rindex("short test summary") :]


@pytest.mark.parametrize("how", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_q_and_what_is_no_terminal_show_no_progress(project: pytest.Pytester, how: tuple[str, ...]) -> None:
    for shown in (on_terminal(project, "-q", *how), run_apart(project, *how).stdout.str()):
        assert "✗ test_bad" in shown
        assert not re.search(r"drain \d s|of 4 tests", shown)


def test_no_color_is_heeded_while_progress_is_shown(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown = on_terminal(project)
    assert " drain 0 s" in shown
    assert not re.search(r"\x1b\[[0-9;]*m", shown)
