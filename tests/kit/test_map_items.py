"""Cells of a map as pytest's items: each test is a project of its own, on real trials."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import brownout.authoring  # noqa: F401 - pytester forgets what a run in this process imports: once is enough
from tests.kit.small_project import ROOT

pytest_plugins = ["pytester"]

LOST = "worker->broker/ZADD#1/before-cut"
GOOD = "worker->broker/ZREM#1/after-cut"
BOTH = f"points=[{LOST!r}, {GOOD!r}], actions=['cut']"
QUIET = ("-p", "no:asyncio", "-p", "no:schemathesis", "-q")
PLACE = ".pytest_cache/d/brownout"
HOLDS = {"map": "cell.run().must_hold()"}


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the points that this module's first project found are kept for the others."""
    return tmp_path_factory.mktemp("looked")


Project = Callable[..., pytest.RunResult]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, looked: Path) -> Project:
    """Write a module of tests (`test_NAME(cell)` for each), and run pytest on all that are there."""
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "BROWNOUT_REQUIRE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "200")
    pytester.makeini("[pytest]\nfilterwarnings = error\nstrict = true\n")
    if any(looked.iterdir()):
        shutil.copytree(looked, pytester.path / PLACE)

    def run(*arguments: str, apart: bool = False) -> pytest.RunResult:
        start = pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess
        result = start(*QUIET, *arguments)
        if (pytester.path / PLACE).exists():
            shutil.copytree(pytester.path / PLACE, looked, dirs_exist_ok=True)
        return result

    return run


def module(pytester: pytest.Pytester, given: str = BOTH, tests: dict[str, str] = HOLDS, name: str = "test_it") -> None:
    """The four lines: an import, the map, and a test."""
    lines = ["from brownout import fault_map", f"pytest_generate_tests = fault_map({given})"]
    lines += [f"def test_{test}(cell): {body}" for test, body in tests.items()]
    pytester.makepyfile(**{name: "\n".join(lines)})


def trace(pytester: pytest.Pytester) -> Path:
    (found,) = (pytester.path / PLACE).glob("*.json")
    return found


def test_a_cell_is_an_item_and_a_bad_one_is_red(project: Project, pytester: pytest.Pytester) -> None:
    module(pytester)
    result = project("-vv")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([
        f"test_it.py::test_map[[]{LOST}[]] FAILED*",
        f"test_it.py::test_map[[]{GOOD}[]] PASSED*",
        f"✗ {LOST}  invalid · lost ×1*",
        "  The task was accepted, took no effect, and its message is nowhere.",
        "*worker->broker  ZADD unacked_index;HSET unacked: cut(), before it",
        "  Fault     the connection ends (FIN), before the server executed the command",
        f"  Again     pytest 'test_it.py::test_map[[]{LOST}[]]'",
    ])  # fmt: skip
    result.stdout.no_fnmatch_line("*Traceback*")

    kept = trace(pytester).stat().st_mtime_ns
    ids = [f"test_it.py::test_map[{name}]" for name in (LOST, GOOD)]
    for how, items in ((["--lf"], ids[:1]), ([ids[1]], ids[1:]), (["-k", "ZREM or ZADD"], ids)):
        found = project("--collect-only", *how).stdout.lines
        assert [line for line in found if line.startswith("test_it.py::")] == items
    assert trace(pytester).stat().st_mtime_ns == kept, "the points are looked for once"


@pytest.mark.parametrize("how", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_the_cells_are_a_table_in_the_summary_of_a_step(
    project: Project, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]
) -> None:
    summary = pytester.path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    module(pytester)
    project(*how, apart=bool(how)).assert_outcomes(passed=1, failed=1)
    text = summary.read_text()
    assert text.startswith("### ✗ fault map defaults/task: invalid\n\n- 2 cells of pytest, of which 1 are not")
    assert "| `worker->broker/ZADD#1` | `ZADD unacked_index;HSET unacked` | **LOST** |" in text
    assert f"  pytest 'test_it.py::test_map[{LOST}]'\n" in text
    assert text.count("  pytest ") == 1


def test_xdist_runs_the_same_items(project: Project, pytester: pytest.Pytester) -> None:
    shutil.rmtree(pytester.path / PLACE, ignore_errors=True)  # both workers want the points at once
    module(pytester, "points=['ZADD', 'ZREM'], actions=['cut']")
    result = project("-n", "2", "-vv", apart=True)
    result.assert_outcomes(passed=1, failed=3)
    result.stdout.fnmatch_lines([f"*FAILED test_it.py::test_map[[]{LOST}[]]*"])
    assert len(list((pytester.path / PLACE).glob("*.json"))) == 1


NO_MAP = """
import os
import pathlib
from brownout.explore.campaign import Campaign
from brownout.explore.options import NoMap

discover = Campaign._discover

def once(campaign):
    try:
        os.close(os.open("failed", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return discover(campaign)
    other = pathlib.Path("found-by-another-run")
    if other.exists():
        (lock,) = pathlib.Path(".pytest_cache/d/brownout").glob("*.lock")
        other.rename(lock.with_suffix(".json"))
    raise NoMap(f"process {os.getpid()} found no point")

Campaign._discover = once
"""


def test_without_a_map_one_test_fails_and_all_processes_know_why(project: Project, pytester: pytest.Pytester) -> None:
    """The first process fails; the second one would find the points, and then have other tests than the first."""
    shutil.rmtree(pytester.path / PLACE, ignore_errors=True)
    pytester.makeconftest(NO_MAP)
    module(pytester, tests={"map": "pass"})
    pytester.makepyfile(test_other="def test_other(): pass")
    result = project("-n", "2", apart=True)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*there is no map, and no cell was tried: process * found no point*"])
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_map[[]no-map[]]*"])
    project("-n", "2", apart=True).assert_outcomes(passed=1, failed=2)  # another run looks again: two cells, unasked


@pytest.mark.parametrize(
    "part", [("-k", "other"), ("-k", "ZADD"), ("--chaos-shard=1/2",), ("--chaos-shard=2/2",), ("-k", "map", "-m", "x")],
    ids=" ".join,
)  # fmt: skip
def test_a_map_that_cannot_be_made_is_red_whatever_was_asked_for(
    project: Project, pytester: pytest.Pytester, part: tuple[str, ...]
) -> None:
    shutil.rmtree(pytester.path / PLACE, ignore_errors=True)
    pytester.makeconftest(NO_MAP)
    pytester.makeini("[pytest]\nmarkers = x")
    module(pytester)
    pytester.makepyfile(test_other="def test_other(): pass")
    result = project(*part, apart=True)
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_map[[]no-map[]]*"])


@pytest.mark.parametrize(
    ("part", "outcomes"),
    [
        ((), {"failed": 1, "passed": 1}),
        (("-m", "not x"), {"passed": 1, "deselected": 1}),
        (("--deselect", "test_it.py::test_map"), {"passed": 1, "deselected": 1}),
    ],
    ids=["expected to fail", "marker", "deselected"],
)  # fmt: skip
def test_what_leaves_out_a_whole_map_leaves_it_out_when_it_cannot_be_made(
    project: Project, pytester: pytest.Pytester, part: tuple[str, ...], outcomes: dict[str, int]
) -> None:
    """An expected failure leaves nothing out: it is expected of a cell that was tried."""
    shutil.rmtree(pytester.path / PLACE, ignore_errors=True)
    pytester.makeconftest(NO_MAP)
    pytester.makeini("[pytest]\nmarkers = x")
    module(pytester, name="test_it")
    with (pytester.path / "test_it.py").open("a") as file:
        file.write("\nimport pytest\npytestmark = [pytest.mark.x, pytest.mark.xfail]\n")
    pytester.makepyfile(test_other="def test_other(): pass")
    assert project(*part, apart=True).parseoutcomes() == outcomes


def test_a_run_that_has_no_map_stays_without_although_another_run_finds_it(
    project: Project, pytester: pytest.Pytester
) -> None:
    module(pytester, tests={"map": "pass"})
    project("--collect-only")
    found = trace(pytester).read_text()
    shutil.rmtree(pytester.path / PLACE)
    (pytester.path / "found-by-another-run").write_text(found)
    pytester.makeconftest(NO_MAP)
    result = project("-n", "2", apart=True)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_map[[]no-map[]]*"])
    assert trace(pytester).read_text() == found


def test_words_may_be_expected_and_somebody_must_ask(project: Project, pytester: pytest.Pytester) -> None:
    tests = {
        "right": "cell.run(repeat=2).must_be('lost', 'once', 'recovered')",
        "wrong": "cell.run().must_be('stuck', 'hangs')",
        "misspelt": "cell.run().must_be('losst')",
        "not_run": "pass",
        "not_asked": "cell.run()",
    }
    module(pytester, tests=tests)
    result = project()
    result.assert_outcomes(passed=2, failed=8)
    for line in (
        f"✗ {LOST}  invalid*",
        "  Must be   stuck or hangs",
        f"✓ {GOOD}  valid*",
        "*UnknownName: no outcome is called 'losst'; did you mean 'lost'*",
        f"the outcome of {LOST} is not checked: write cell.run().must_hold()",
    ):
        result.stdout.fnmatch_lines([line])
    failed = [line.partition("[")[0] for line in result.stdout.lines if line.startswith("FAILED")]
    assert sorted(failed) == sorted(f"FAILED test_it.py::test_{name}" for name in [*tests][1:] * 2)


ENTRY = """
[[accepted]]
cell = "{}"
map = "defaults/task"
outcome = "lost"
reason = "kombu writes it down after it took it"
link = "https://example.org/1"
expires = {}
"""


def test_a_baseline_decides(project: Project, pytester: pytest.Pytester) -> None:
    for name, text in {
        "accepted": ENTRY.format(LOST, "2999-01-01"),
        "stale": ENTRY.format(LOST, "2020-01-01") + ENTRY.format(GOOD, "2999-01-01"),
        "empty": "",
    }.items():
        (pytester.path / f"{name}.toml").write_text(text)
        module(pytester, f"{BOTH}, baseline='{name}.toml'", name=f"test_{name}")
    result = project()
    result.assert_outcomes(passed=3, failed=3)
    for line in (
        f"  Baseline  expired: {LOST}: lost ×1; stale.toml:2 accepted that until 2020-01-01: kombu writes*",
        f"  Baseline  healed: {GOOD}: * the cell is good now: remove the entry at stale.toml:10",
        f"  Baseline  new: {LOST}: lost ×1; the baseline does not accept that",
    ):
        result.stdout.fnmatch_lines([line])
    result.stdout.no_fnmatch_line("FAILED test_accepted.py*")


def test_what_there_is_not_is_an_error_of_collection(project: Project, pytester: pytest.Pytester) -> None:
    (pytester.path / "b.toml").write_text(ENTRY.format(LOST.replace("ZADD", "ZAD"), "2999-01-01"))
    for n, given in enumerate(("points=['ZAD#1']", "config='defautls'", "actions=['kil']", "baseline='b.toml'")):
        module(pytester, given, name=f"test_{n}")
    result = project()
    result.assert_outcomes(errors=4)
    for line in (
        "no point is called 'ZAD#1'; known: *",
        "no configuration is called 'defautls'; did you mean 'defaults'*",
        "*no action is called 'kil'; did you mean 'kill'*",
        "b.toml:2: no cell of defaults/task is called 'worker->broker/ZAD#1/before-cut'; did you mean 'worker->*",
    ):
        result.stdout.fnmatch_lines([line])


@pytest.mark.parametrize(
    ("gone", "come"), [("", "worker->broker/LPUSH strange#1"), ("worker->backend/GET celery-task-meta-<id>#1", "")],
    ids=["gone since", "come since"],
)  # fmt: skip
def test_a_stored_trace_that_no_longer_fits_is_unknown(
    project: Project, pytester: pytest.Pytester, gone: str, come: str
) -> None:
    module(pytester)
    project("--collect-only")
    kept = json.loads(trace(pytester).read_text())
    points = [point for point in kept["points"] if point != gone] + [come] * bool(come)
    cells = [cell for cell in kept["cells"] if not gone or not cell.startswith(gone)]
    trace(pytester).write_text(json.dumps({"points": points, "cells": cells}))

    result = pytester.runpytest_inprocess(*QUIET, "-k", "ZREM")
    result.assert_outcomes(failed=1, deselected=1)
    point = (gone or come).partition(" ")[0] + "#1"
    result.stdout.fnmatch_lines([
        f"? {GOOD}  unknown*",
        f"  Unknown: without a fault the points differ from the stored trace ({point}); "
        "`pytest --cache-clear` finds them anew.",
    ])  # fmt: skip


def test_a_trace_that_cannot_be_read_is_looked_for_again(project: Project, pytester: pytest.Pytester) -> None:
    module(pytester)
    project("--collect-only")
    whole = trace(pytester).read_text()
    trace(pytester).write_text(whole[: len(whole) // 2])
    project("--collect-only")
    assert content(trace(pytester).read_text()) == content(whole)
    project("--collect-only", "-p", "no:cacheprovider")
    assert [content(path.read_text()) for path in pytester.path.glob("store/maps/*.json")] == [content(whole)]


def content(text: str) -> dict[str, list[str]]:
    """A trace without its order: two discoveries may meet what client and worker do side by side in either one."""
    return {name: sorted(values) for name, values in json.loads(text).items()}


def test_without_a_redis_it_is_skipped_in_one_line_or_an_error(
    project: Project, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = ("redis-server", "valkey-server")
    folders = [folder for folder in os.get_exec_path() if not any(Path(folder, name).exists() for name in servers)]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    module(pytester)
    result = project("-rs", "--chaos-provider=local")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*no Redis is available*neither redis-server nor valkey-server is on PATH*"])
    monkeypatch.setenv("BROWNOUT_REQUIRE", "local")
    result = project("--chaos-provider=local")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*BROWNOUT_REQUIRE names 'local'*"])


def test_two_maps_share_a_process(pytester: pytest.Pytester, project: Project) -> None:
    """The benches of the first stay open while those of the second are opened."""
    module(pytester, f"points=[{GOOD!r}], actions=['cut']", name="test_one")
    module(pytester, f"config='late', points=[{GOOD!r}], actions=['cut']", name="test_two")
    project().assert_outcomes(passed=2)
