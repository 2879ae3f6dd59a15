"""The plugin as pytest's users meet it: each test is a project of its own whose trials are forged."""

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from brownout.subject.servers import ladder
from tests.kit.forged_project import BENCH, forge, on_terminal, run, run_apart
from tests.kit.small_project import ROOT, write

pytest_plugins = ["pytester"]

SCENARIOS = """
@pytest.mark.outcome("valid")
def test_good(bench):
    bench.run().must_hold()

@pytest.mark.outcome("valid", "invalid", "unknown")
def test_bad(bench):
    bench.run().must_hold()

@pytest.mark.outcome("unknown")
def test_nobody_knows(bench):
    bench.run().must_hold()
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    return forge(pytester, monkeypatch, SCENARIOS)


def test_a_run_ends_with_its_trials(project: pytest.Pytester) -> None:
    result = run(project)

    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines([
        "brownout: python 3*, celery 5*, kombu 5*, redis-py *, uvloop *; wire builtin",
        "brownout: redis * for chaos",
        "✗ test_bad  invalid · duplicate ×1 · seed * · 1.5 s",
        "  1 of 1 job took effect more than once, without any fault",
        "  Promise   promise_1()",
        "  Again     brownout replay store/test_small.py-test_bad/*",
        "            pytest test_small.py::test_bad --chaos-seed=*",
        "  Store     store/test_small.py-test_bad/*",
        "? test_nobody_knows  unknown · *",
        "=* chaos: 3 trials, 1 invalid, 1 unknown; slowest test_* 1.5 s =*",
        "FAILED test_small.py::test_bad - duplicate ×1: 1 of 1 job took effect more th*",
        "FAILED test_small.py::test_nobody_knows - Unknown: nothing was seen*",
    ])  # fmt: skip
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_re_match_line(r"\s+\d\.\d s  launch")
    assert "\x1b" not in result.stdout.str(), "a pipe is no terminal"


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["here", "in a worker"])
def test_a_project_that_does_not_use_the_kit_does_not_hear_of_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    def looked(*_: object, **__: object) -> None:
        raise AssertionError("looked for a Redis")

    monkeypatch.setattr(ladder, "choose", looked)
    pytester.path.joinpath("conftest.py").write_bytes(b"# coding: latin-1\nNAME = '\xe9'\n")
    pytester.makepyfile("def test_plain(tmp_path): pass")
    result = pytester.runpytest_inprocess("-p", "no:asyncio", *workers)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("brownout:*")


def test_a_project_that_does_not_use_the_kit_imports_next_to_nothing_of_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pytest imports the plugin at every start. The libraries below, and events of a run, took most of 35 ms."""
    monkeypatch.delenv("BROWNOUT_REQUIRE", raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # other plugins import what they like
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest("import sys\ndef pytest_unconfigure(): print('imported', *sys.modules)")
    pytester.makepyfile("def test_plain(): pass")
    result = pytester.runpytest_subprocess("-p", "brownout.pytest_plugin")
    result.assert_outcomes(passed=1)
    (line,) = [line for line in result.outlines if line.startswith("imported ")]
    imported = set(line.split())
    assert {name for name in imported if name.startswith("brownout.")} == {
        "brownout.pytest_options", "brownout.pytest_plugin", "brownout.pytest_redis",
        "brownout.report", "brownout.report.collector", "brownout.run", "brownout.run.store"
    }  # fmt: skip
    assert not imported & {"celery", "h11", "http.client", "httpx", "psutil", "redis", "ssl", "sqlite3", "asyncio"}


def test_the_first_test_that_uses_the_kit_brings_the_header(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain(lab): pass")
    result = pytester.runpytest_inprocess("-p", "no:asyncio")
    result.stdout.fnmatch_lines(
        ["collected 1 item", "brownout: python 3*", "brownout: redis * for chaos", "*override the fixture*"]
    )
    assert result.stdout.str().count("brownout: python") == 1


def test_what_runs_alone_comes_last(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = SCENARIOS.split("\n@")
    result = run(forge(pytester, monkeypatch, "\n@".join(["\n@pytest.mark.alone" + first, *rest])), "-v", "-k", "test_")
    ran = re.findall(r"::(test_\w+) (?:PASSED|FAILED)", result.stdout.str())
    assert ran == ["test_bad", "test_nobody_knows", "test_good"]


def test_the_command_that_is_shown_runs_the_trial_again(project: pytest.Pytester) -> None:
    (project.path / "sub").mkdir()
    os.chdir(project.path / "sub")
    first = run(project, "--rootdir=..", "--chaos-wire=builtin", "..", "-k", "bad")
    (replay,) = re.findall(r"Again     brownout replay (.*)", first.stdout.str())
    assert (Path(replay) / "results.json").exists(), "a path from where pytest was started"
    (again,) = re.findall(r"^ {12}pytest (.*)", first.stdout.str(), re.MULTILINE)
    assert "--chaos-wire=builtin" in again
    assert again.startswith("../test_small.py::test_bad ")

    second = run(project, "--rootdir=..", *again.split())
    second.assert_outcomes(failed=1)
    seeds = re.findall(r"· seed (\d+)", first.stdout.str() + second.stdout.str())
    assert len(seeds) == 2
    assert len(set(seeds)) == 1


def test_v_shows_phases_and_the_slowest(project: pytest.Pytester) -> None:
    result = run(project, "-v", "-k", "good")
    result.stdout.fnmatch_lines([
        "test_small.py::test_good *",
        "    0.0 s  launch",
        "test_small.py::test_good PASSED*",
        "=* chaos: 1 trial, 0 invalid, 0 unknown; slowest test_good 1.5 s =*",
        "    1.5 s  valid    test_small.py::test_good",
    ])  # fmt: skip


def test_q_is_quiet(project: pytest.Pytester) -> None:
    lines = run(project, "-q", "-k", "good").stdout.lines
    assert [line for line in lines if "chaos" in line] == [
        "chaos: 1 trial, 0 invalid, 0 unknown; slowest test_good 1.5 s"
    ]
    assert not [line for line in lines if line.startswith("brownout:")]


def test_a_run_without_trials_says_nothing_of_them(project: pytest.Pytester) -> None:
    result = run(project, str(project.makepyfile(test_other="def test_it(): pass")))
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*chaos:*trial*")
    assert not (project.path / "store").exists()


@pytest.mark.parametrize("how", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_junit_has_the_facts_and_the_text_of_the_terminal(project: pytest.Pytester, how: tuple[str, ...]) -> None:
    shown = run(project, "--junitxml=junit.xml", "--chaos-seed=7", *how).stdout.str()
    cases = {case.get("name"): case for case in ET.parse(project.path / "junit.xml").getroot().iter("testcase")}
    facts = {element.get("name"): element.get("value") for element in cases["test_bad"].iter("property")}

    assert str(facts.pop("store")).startswith("store/test_small.py-test_bad/2")
    assert facts == {
        "seed": "7", "verdict": "invalid", "anomalies": "duplicate x1", "recovery_ms": "", "faults_fired": "",
    }  # fmt: skip
    (failure,) = cases["test_bad"].iter("failure")
    assert failure.get("message") == "duplicate ×1: 1 of 1 job took effect more than once"
    assert "✗ test_bad" in (failure.text or "")
    assert str(failure.text) in shown
    assert "\x1b" not in (failure.text or "")


@pytest.mark.parametrize("how", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_github_is_told(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]) -> None:
    summary = project.path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.path.parent))
    result = run(project, *how)

    line = (project.path / "test_small.py").read_text().splitlines().index("def test_bad(bench):") + 1
    place = f"::error file={project.path.name}/test_small.py,line="
    found = [line for line in result.stdout.lines if line.startswith("::error")]
    assert len(found) == 2, "one for each cause"
    assert found[0].startswith(place)
    assert abs(int(re.findall(r"line=(\d+)", found[0])[0]) - line) <= 1  # of the function or its decorator
    sentence = "duplicate ×1: 1 of 1 job took effect more than once"
    assert found[0].endswith(f"title=chaos%3A duplicate in test_bad::{sentence}")
    told = summary.read_text()
    assert told.startswith(f"### ✗ chaos: 3 trials, 1 invalid, 1 unknown\n\n#### ✗ test\\_bad: {sentence}\n")
    assert re.findall("^#### (.) ", told, re.MULTILINE) == ["✗", "?"]
    assert re.search(r"^brownout replay store/test_small.py-test_bad/2\w+$", told, re.MULTILINE)
    assert "promise_" not in told


def test_an_anomaly_that_a_test_expects_is_no_failure_on_github(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project.path, BENCH + """
@pytest.mark.outcome("invalid")
def test_hole(bench):
    assert bench.run().result.validity == "invalid"
""", forged=True)  # fmt: skip
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = run(project)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("::*")
    result.stdout.fnmatch_lines(["=* chaos: 1 trial, 1 invalid, 0 unknown, 1 expected by their tests; *"])
    assert (project.path / "summary.md").read_text() == (
        "### ✓ chaos: 1 trial, 1 invalid, 0 unknown, 1 expected by their tests\n\n"
    )


def test_xdist_counts_every_trial_and_keeps_one_run(project: pytest.Pytester) -> None:
    write(project.path, BENCH + SCENARIOS + "\n@pytest.mark.outcome('valid')\n@pytest.mark.parametrize('n', range(9))\n"
          "def test_many(bench, n): bench.run().must_hold()", forged=True)  # fmt: skip
    result = run_apart(project, "-n", "2", "--chaos-keep=1")

    result.assert_outcomes(passed=10, failed=2)
    result.stdout.fnmatch_lines(["=* chaos: 12 trials, 1 invalid, 1 unknown; *"])
    result.stdout.fnmatch_lines(["✗ test_bad  invalid *", "            pytest test_small.py::test_bad --chaos-seed=*"])
    (kept,) = (project.path / "store" / ".runs").iterdir()
    assert len(kept.read_text().splitlines()) == 12
    assert len(list((project.path / "store").glob("test*/2*"))) == 12


def test_the_store_keeps_so_many_runs(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nchaos_keep = 2\nchaos_store = traces\n")
    for _ in range(3):
        run_apart(project, "-k", "good")
    assert len(list((project.path / "traces").glob("test*/2*"))) == 2
    run_apart(project, "-k", "good", "--chaos-keep=1", "--chaos-store=elsewhere")
    assert len(list((project.path / "elsewhere").glob("test*/2*"))) == 1


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("def test_it(lab):\n    pass", "the scenario was never run"),
        ("@pytest.mark.outcome('unknown')\ndef test_it(bench):\n    bench.run()", "never checked the outcome"),
    ],
)
def test_a_scenario_that_asks_for_nothing_is_red(project: pytest.Pytester, source: str, why: str) -> None:
    write(project.path, f"{BENCH}\n{source}\n", forged=True)
    result = run(project, "-k", "test_it")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{why}*"])


def test_a_scenario_may_expect_what_is_not_valid(project: pytest.Pytester) -> None:
    control = (
        "@pytest.mark.outcome('invalid')\ndef test_it(bench):\n    assert bench.run().result.validity == 'invalid'"
    )
    write(project.path, f"{BENCH}\n{control}\n", forged=True)
    run(project, "-k", "test_it").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--chaos-seed=-1",), "*chaos_seed is a whole number from 0 to 18446744073709551615, not '-1'*"),
        (("--chaos-seed=18446744073709551616",), "*chaos_seed is a whole number*"),
        (("--chaos-shard=0/3",), "*chaos_shard: a shard is N/M with N from 1 to M, such as 2/4, not '0/3'*"),
        (("-o", "chaos_shard=four"), "*chaos_shard: a shard is N/M*"),
        (("--chaos-keep=0",), "*chaos_keep is a whole number from 1*"),
        (("--chaos-wire=toxicproxy",), "*invalid choice: 'toxicproxy'*builtin*"),
        (("-o", "chaos_wire=toxicproxy"), "*chaos_wire is one of builtin, toxiproxy, not 'toxicproxy'*"),
        (("-o", "chaos_provider=dokcer"), "*chaos_provider is one of auto, container, local, embedded*"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else "",
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(project: pytest.Pytester, arguments: tuple[str, ...], why: str) -> None:
    result = run(project, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([why])


def test_a_wire_that_is_not_here_is_said_before_anything_runs(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [folder for folder in os.get_exec_path() if not Path(folder, "toxiproxy-server").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    monkeypatch.delenv("BROWNOUT_REQUIRE", raising=False)  # where it is set, its absence is an error of another kind
    asked = run(project, "--chaos-wire=toxiproxy")
    assert asked.ret == pytest.ExitCode.USAGE_ERROR
    asked.stderr.fnmatch_lines(["*--chaos-wire=toxiproxy: no toxiproxy-server is on PATH*"])

    usual = run(project, "-o", "chaos_wire=toxiproxy", "-rs")
    usual.assert_outcomes(skipped=3)
    usual.stdout.fnmatch_lines(["SKIPPED*the wire is to be toxiproxy: no toxiproxy-server is on PATH*"])


def test_k_lf_and_x_work_as_ever(project: pytest.Pytester) -> None:
    alone = ("-p", "no:asyncio", "-p", "no:schemathesis")
    project.runpytest_inprocess(*alone, "-x").assert_outcomes(passed=1, failed=1)
    project.runpytest_inprocess(*alone, "--lf").assert_outcomes(failed=1)
    project.runpytest_inprocess(*alone, "-k", "good").assert_outcomes(passed=1, deselected=2)


def test_on_a_terminal_what_broke_is_bold_and_no_color_is_heeded(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    coloured = on_terminal(project, "-k", "bad")
    assert "\x1b[1m  1 of 1 job took effect more than once, without any fault\x1b[0m" in coloured
    assert re.search(r"\x1b\[31m\x1b\[1m✗ test_bad|\x1b\[1m\x1b\[31m✗ test_bad", coloured)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = on_terminal(project, "-k", "bad")
    assert "  1 of 1 job took effect more than once, without any fault" in plain
    assert not re.search(r"\x1b\[[0-9;]+m", plain)
