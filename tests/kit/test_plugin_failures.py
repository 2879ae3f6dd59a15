"""Failures are shown when they happen; trials that were not judged are one line at the end. Trials are forged."""

import subprocess
import time
import xml.etree.ElementTree as ET
from itertools import takewhile

import pytest

from tests.kit.forged_project import BENCH, QUIET, forge, on_terminal, run
from tests.kit.small_project import write

pytest_plugins = ["pytester"]

SCENARIOS = """
@pytest.fixture
def told():
    yield
    print("said in the teardown")

@pytest.mark.outcome("busy", "busy", before=("busy", "busy"))
def test_busy(bench, told):
    bench.run().must_hold()

@pytest.mark.outcome("unknown")
def test_nobody_knows(bench):
    bench.run().must_hold()

@pytest.mark.outcome("valid", "invalid", "busy")
def test_bad(bench, told):
    print("said in the test")
    bench.run().must_hold()

@pytest.mark.outcome("valid")
def test_asserts(bench):
    assert bench.run().result.validity == "another"

def test_without_a_trial():
    assert "its own" == "business"

@pytest.mark.outcome("valid")
def test_good(bench):
    bench.run().must_hold()
"""
#: The first text of each failure that is shown at once.
SHOWN = {
    "test_bad": "  1 of 1 job took effect more than once, without any fault",
    "test_nobody_knows": "  Unknown: nothing was seen",
    "test_asserts": '>       assert bench.run().result.validity == "another"',
}
PYTESTS_OWN = '>       assert "its own" == "business"'
EACH_WAY = pytest.mark.parametrize("how", [(), ("-n", "2")], ids=["alone", "xdist"])
NOT_JUDGED = "not judged: test_busy: the machine was busy for 338 ms, 3 attempts"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("COLUMNS", "200")  # pytest cuts its short summary
    return forge(pytester, monkeypatch, SCENARIOS)


@EACH_WAY
def test_a_failure_is_shown_while_other_tests_still_run(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # as in most shells, where output waits for a flush
    write(project.path, BENCH + """
from pathlib import Path
from brownout.subject.waiting import eventually

@pytest.mark.outcome("invalid")
def test_bad(bench):
    bench.run().must_hold()

def test_last():
    eventually(Path("seen").exists, within=30, every=0.05, what="the parent sees the failure")
""", forged=True)  # fmt: skip
    output = project.path / "output"
    with output.open("w") as out:
        popen = project.popen([*project._getpytestargs(), *QUIET, *how], stdout=out, stderr=subprocess.STDOUT)
    text = ""
    while popen.poll() is None and "  Store     " not in text:
        time.sleep(0.02)  # between two looks at a file
        text = output.read_text()
    still_running = popen.poll() is None
    (project.path / "seen").touch()
    popen.wait(60)

    assert still_running, output.read_text()
    assert "✗ test_bad  invalid" in text
    assert "1 failed, 1 passed" in output.read_text()
    assert output.read_text().count("✗ test_bad") == 1


@pytest.mark.parametrize("options", ["-v", "", "-q", "-qq", "-n 2", "-n 2 -v"])
def test_a_failure_is_shown_once_and_pytest_shows_the_others(project: pytest.Pytester, options: str) -> None:
    result = run(project, *options.split())
    before = list(takewhile(lambda line: "= FAILURES =" not in line, result.stdout.lines))
    after = result.stdout.lines[len(before) :]

    if options != "-qq":
        result.assert_outcomes(passed=1, failed=5)
    for text in SHOWN.values():
        assert (before.count(text), after.count(text)) == (1, 0), text
    assert (before.count(PYTESTS_OWN), after.count(PYTESTS_OWN)) == (0, 1)
    assert sum("_ test_asserts _" in line for line in before) == 1, "above pytest's text is the name of the test"
    assert not [line for line in before if "Python 3" in line and line.startswith("[gw")][1:], "only above a traceback"
    assert "\x1b" not in result.stdout.str()


@EACH_WAY
def test_a_test_that_fails_by_its_own_assertion_shows_its_trial(project: pytest.Pytester, how: tuple[str, ...]) -> None:
    lines = run(project, "-k", "asserts", *how).stdout
    lines.fnmatch_lines([
        SHOWN["test_asserts"],
        "-* the last trial of this test that ended *-",
        "✓ test_asserts  valid · *",
        "  Again *::test_asserts *",
        "  Store *",
    ])  # fmt: skip


def test_no_section_is_left_when_all_failures_were_shown(project: pytest.Pytester) -> None:
    result = run(project, "-k", "bad or busy")
    result.assert_outcomes(failed=2)
    result.stdout.no_fnmatch_line("*= FAILURES =*")


def test_the_dots_go_on_below_the_text(project: pytest.Pytester) -> None:
    lines = run(project, "-q", "-k", "busy or knows or good").stdout.lines
    assert lines[0] == "FF"
    assert lines[1].startswith("? test_nobody_knows  unknown · ")
    page = next(n for n, line in enumerate(lines) if line.startswith("  Page"))
    assert lines[page + 1] == ""
    assert lines[page + 2].split() == [".", "[100%]"]

    lines = run(project, "-k", "busy or knows or good").stdout.lines
    page = next(n for n, line in enumerate(lines) if line.startswith("  Page"))
    assert lines[page + 1] == ""
    assert lines[page + 2].split() == ["test_small.py", ".", "[100%]"]


def test_tb_no_hides_the_text_and_keeps_the_line(project: pytest.Pytester) -> None:
    result = run(project, "--tb=no")
    result.assert_outcomes(passed=1, failed=5)
    assert not set(SHOWN.values()) & set(result.stdout.lines)
    result.stdout.no_fnmatch_line("*said in the*")
    result.stdout.fnmatch_lines([NOT_JUDGED])


@EACH_WAY
def test_what_pytest_captured_is_shown_once(project: pytest.Pytester, how: tuple[str, ...]) -> None:
    lines = run(project, "-k", "bad or busy", *how).stdout.lines
    assert [line for line in lines if "said in" in line] == ["said in the test", "said in the teardown"]
    assert sum("_ test_bad _" in line for line in lines) == 1, "above the teardown"


def test_show_capture_is_heeded(project: pytest.Pytester) -> None:
    lines = run(project, "-k", "bad", "--show-capture=no").stdout.lines
    assert not [line for line in lines if "said in" in line or "_ test_bad _" in line]


@EACH_WAY
def test_a_trial_that_was_not_judged_is_one_line_at_the_end(project: pytest.Pytester, how: tuple[str, ...]) -> None:
    result = run(project, "--junitxml=junit.xml", *how)

    assert result.stdout.lines.count(NOT_JUDGED) == 1
    result.stdout.fnmatch_lines([
        "=* not judged because the machine was busy =*",
        NOT_JUDGED,
        "=* chaos: 5 trials, 1 invalid, 2 unknown, 2 repeated because the machine was busy; slowest *",
    ], consecutive=True)  # fmt: skip
    result.stdout.no_fnmatch_line("*promise_1()*busy*")
    result.stdout.no_fnmatch_line("*Again*::test_busy*")
    cases = {case.get("name"): case for case in ET.parse(project.path / "junit.xml").getroot().iter("testcase")}
    (failure,) = cases["test_busy"].iter("failure")
    assert failure.get("message") == "not judged: the machine was busy for 338 ms, 3 attempts"
    lines = str(failure.text).splitlines()
    assert lines[0] == NOT_JUDGED
    assert [line.split()[0] for line in lines[1:4]] == ["Again", "Store", "Page"]
    assert [line.partition("(")[2] for line in lines[4:]] == ["attempt 1)", "attempt 2)"]


def test_real_failures_come_first_in_the_short_summary(project: pytest.Pytester) -> None:
    lines = run(project).stdout.lines
    names = [line.split()[1].partition("::")[2] for line in lines if line.startswith("FAILED")]
    assert set(names[:3]) == {"test_bad", "test_asserts", "test_without_a_trial"}
    assert names[3:] == ["test_nobody_knows", "test_busy"]
    assert any(line.endswith("::test_busy - not judged: the machine was busy for 338 ms, 3 attempts") for line in lines)


def test_github_gets_notices_after_the_errors(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    found = [line for line in run(project).stdout.lines if line.startswith("::")]

    assert [line.split()[0] for line in found] == ["::error", "::error", "::notice"]
    assert "duplicate in test_bad" in found[0]
    assert found[2].endswith(",title=chaos%3A not judged%3A test_busy::the machine was busy for 338 ms, 3 attempts")
    text = (project.path / "summary.md").read_text()
    assert text.index("test\\_bad") < text.index("#### not judged") < text.index("test\\_busy")


def test_x_stops_at_a_trial_that_was_not_judged_and_lf_runs_it_again(project: pytest.Pytester) -> None:
    with_cache = ("-p", "no:asyncio", "-p", "no:schemathesis")
    first = project.runpytest_inprocess(*with_cache, "-x")
    first.assert_outcomes(failed=1)
    first.stdout.fnmatch_lines([NOT_JUDGED])
    project.runpytest_inprocess(*with_cache, "--lf").assert_outcomes(failed=1)


def test_with_pdb_the_text_is_left_to_pytest(project: pytest.Pytester) -> None:
    popen = project.popen(
        [*project._getpytestargs(), *QUIET, "--pdb", "-k", "bad"], stdin=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    text, _ = popen.communicate(b"q\n", timeout=60)
    assert text.decode().count(SHOWN["test_bad"]) == 1


def test_on_a_terminal_the_line_of_a_trial_that_was_not_judged_is_yellow(project: pytest.Pytester) -> None:
    coloured = on_terminal(project, "-k", "busy or bad")
    assert f"\x1b[33m{NOT_JUDGED}\x1b[0m" in coloured
    assert f"\x1b[1m{SHOWN['test_bad']}\x1b[0m" in coloured
    assert coloured.index("✗ test_bad") < coloured.index(NOT_JUDGED)
