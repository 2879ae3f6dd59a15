"""What GitHub Actions is told: a step's summary within its budget, and one annotation for each cause."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brownout.explore.maps.faultmap import FaultMap
from brownout.report import github
from brownout.report.github import Cells, annotations, append_map, append_pairs, entries, failure, fitted
from brownout.report.maps.row import Finding, Row
from tests.unit.test_explore_faultmap import GOOD_CELL, LOST, ZADD, mapped, seen
from tests.unit.test_explore_pairs_map import PAIR, result
from tests.unit.test_explore_pairs_map import mapped as paired
from tests.unit.test_report_rows import BAD, NOT_JUDGED, ROW

UNKNOWN = replace(ROW, validity="unknown", seconds=50.0, line=9,
                  findings=(Finding("unknown", "Unknown: why", "p()"),))  # fmt: skip
EXPECTED = replace(BAD, scenario="tests/test_a.py::test_hole", expected=True)
REPOSITORY = Path("/repository")


def summary(*rows: Row, budget: int = github.BUDGET) -> str:
    return fitted(entries(rows), budget)


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    return tmp_path / "summary"


# --- the summary of trials


def test_a_summary_has_what_failed_with_its_sentence_and_its_commands_the_worst_first() -> None:
    assert summary(ROW, NOT_JUDGED, UNKNOWN, EXPECTED, BAD).splitlines() == [
        "### ✗ chaos: 5 trials, 2 invalid, 2 unknown, 1 expected by their tests, "
        "2 repeated because the machine was busy",
        "",
        "#### ✗ test\\_b\\[a:b,c\\]: 50% of it is lost. Really: all, of it.",
        "",
        "seed 7 · 1 s",
        "",
        "```text",
        "brownout replay store/a/1",
        "pytest 'tests/test_a.py::test_b[a:b,c]' --chaos-seed=7",
        "```",
        "",
        "#### ? test\\_a: Unknown: why",
        "",
        "seed 7 · 50 s",
        "",
        "```text",
        "brownout replay store/a/1",
        "pytest tests/test_a.py::test_a --chaos-seed=7",
        "```",
        "",
        "#### not judged, because the machine was busy",
        "",
        "- test\\_p99: the machine was busy for 65 to 338 ms, 3 attempts · seed 7 · store/a/1",
    ]
    assert summary(ROW) == "### ✓ chaos: 1 trial, 0 invalid, 0 unknown\n\n"
    assert summary(EXPECTED).startswith("### ✓ chaos: 1 trial, 1 invalid, 0 unknown, 1 expected")


def test_lanes_stand_between_the_sentence_and_the_commands() -> None:
    lines = failure(replace(BAD, recovery_ms=250, lanes=("worker-1 ══┤", "api      ═══"))).splitlines()
    assert lines[2:] == [
        *("seed 7 · 1 s · recovered in 250 ms", ""),
        *("```text", "worker-1 ══┤", "api      ═══", "```", ""),
        *("```text", "brownout replay store/a/1", "pytest 'tests/test_a.py::test_b[a:b,c]' --chaos-seed=7", "```", ""),
    ]


def test_what_a_subject_wrote_is_text_and_nothing_else() -> None:
    sentence = "<b>*a*</b> | `b`\n# c\x1b[31m [d](javascript:e)"
    text = failure(replace(BAD, findings=(Finding("lost", sentence, "p()"),), faults=("<i>",), lanes=("````", "x\x07")))
    assert "<" not in text
    assert "\x1b" not in text
    assert "\x07" not in text
    assert r"\*a\*" in text
    assert r"\[d\](javascript:e)" in text
    assert "\n# c" not in text
    assert re.findall("^`+(?=text$)", text, re.MULTILINE)[0] == "`" * 5, "longer than what is inside"


TEXT = st.text(max_size=400)
FINDINGS = st.builds(Finding, st.sampled_from(["lost", "duplicate", "unknown"]), TEXT, st.just("PROMISE"))
ROWS = st.builds(
    Row,
    TEXT,
    st.sampled_from(["invalid", "unknown", "valid"]),
    st.integers(0, 1 << 64),
    st.floats(0, 1e6),
    TEXT,
    st.lists(FINDINGS, max_size=4).map(tuple),
    st.lists(TEXT, max_size=3).map(tuple),
    st.none() | st.integers(0, 10**9),
    busy_ms=st.just(()) | st.just((65.0,)),
    file=TEXT,
    expected=st.booleans(),
)


@given(st.lists(ROWS, max_size=8), st.integers(0, 6_000))
def test_a_summary_is_never_longer_than_its_budget_and_never_lists_a_promise(rows: list[Row], budget: int) -> None:
    text = summary(*rows, budget=budget)
    assert len(text.encode()) <= budget
    assert "PROMISE" not in summary(*rows)
    whole = [entry for entry in entries(rows) if entry.startswith("####")]
    shown = sum(entry in text for entry in whole)
    assert all(entry in text for entry in whole[:shown]), "the worst first"


@given(st.lists(ROWS, max_size=8))
def test_worse_trials_stand_above_better_ones(rows: list[Row]) -> None:
    signs = re.findall("^#### ([✗?✓])", "".join(entries(rows)), re.MULTILINE)
    assert signs == sorted(signs, key="✗?✓".index)
    assert "✓" not in signs


def test_a_summary_that_is_cut_says_how_much_is_left_out() -> None:
    rows = [replace(BAD, scenario=f"t.py::test_ünknown_{n}") for n in range(5_000)]
    text = summary(*rows)
    left = int(text.splitlines()[-1].split()[1])
    assert 0.99 * github.BUDGET < len(text.encode()) <= github.BUDGET
    assert text.count("#### ✗") + left == 5_000
    assert text.endswith("more entries are left out, for lack of space.\n")


def test_all_summaries_of_a_step_are_within_one_budget(step: Path) -> None:
    step.write_text("before\n")
    github.append(entries([ROW]))
    assert step.read_text() == "before\n### ✓ chaos: 1 trial, 0 invalid, 0 unknown\n\n"
    for _ in range(3):
        github.append(entries([replace(BAD, scenario=f"t.py::test_{n}") for n in range(1_000)]))
    assert 0.99 * github.BUDGET < step.stat().st_size <= github.BUDGET


def test_without_a_step_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    github.append(entries([BAD]))


# --- the summary of a map


def again(_: FaultMap, cell: str) -> str:
    return f"brownout map '{cell}'"


def test_a_map_is_a_table_and_what_is_bad_has_its_command_the_worst_first(step: Path) -> None:
    unread = seen(ZADD, "before-late", "unread")
    append_map(mapped(GOOD_CELL, unread, LOST), "invalid", ["new: <it>"], again)
    text = step.read_text()
    assert text.startswith("### ✗ fault map defaults/task: invalid\n\n- new: &lt;it&gt;\n\n| point | command |")
    assert "| `worker->broker/ZADD#1` | `ZADD unacked_index;HSET unacked` |" in text
    assert "**LOST**" in text
    first, second = re.findall(r"^  brownout map '.*(cut|late)'$", text, re.MULTILINE)
    assert (first, second) == ("cut", "late")
    assert "- ✗ The task was accepted, took no effect, and its message is nowhere.\n" in text
    assert "LPUSH#1/before-cut'" not in text, "a good cell has no command"


def test_cells_of_pytest_are_the_table_of_their_map(step: Path) -> None:
    """A bad cell that its test expects, or the baseline accepts, is in the table and has no entry of its own."""
    cells = Cells()
    expected = seen(ZADD, "before-late", "unread")
    for cell, failed in ((GOOD_CELL, False), (LOST, True), (expected, False)):
        cells(mapped(cell, complete=False), f"pytest t.py::test_map[{cell.cell}]", failed=failed)
    cells(replace(mapped(GOOD_CELL), name="late"), "pytest t.py::test_late", failed=False)
    cells.write()
    first, second = step.read_text().split("### ")[1:]
    assert first.startswith(
        "✗ fault map defaults/task: invalid\n\n- 3 cells of pytest, of which 1 are not as their tests"
    )
    assert "**LOST**" in first
    assert "**gerr**" in first
    assert re.findall("^  pytest .*", first, re.MULTILINE) == [f"  pytest t.py::test_map[{LOST.cell}]"]
    assert "interrupted" not in first
    assert second.startswith("✓ fault map late/task: valid\n\n- 1 cells of pytest, of which 0 are not")


def test_a_map_of_pairs_is_a_table(step: Path) -> None:
    append_pairs(paired(result(PAIR, "lost"), shard="1/2"))
    text = step.read_text()
    assert text.startswith("### ✗ pairs of faults late/task: invalid\n\n- 1 pairs of shard 1/2, 1 bad, of which 1 are")
    assert f"| `{PAIR.first}` | `{PAIR.second}` | **lost** | recovered |\n" in text


@pytest.mark.parametrize("kind", [append_map, append_pairs], ids=["map", "pairs"])
def test_a_summary_of_a_map_is_within_the_budget(
    step: Path, monkeypatch: pytest.MonkeyPatch, kind: Callable[..., Any]
) -> None:
    monkeypatch.setattr(github, "BUDGET", 700)
    if kind is append_map:
        append_map(mapped(GOOD_CELL, LOST), "invalid", ["why"] * 99, again)
    else:
        append_pairs(paired(*[result(PAIR, "lost")] * 99))
    assert 500 < step.stat().st_size <= 700
    assert step.read_text().endswith("more entries are left out, for lack of space.\n")


# --- annotations


def test_an_annotation_is_escaped() -> None:
    assert annotations([ROW, BAD], REPOSITORY) == [
        "::error file=/repository/tests/test_a.py,line=3,title=chaos%3A lost in test_b[a%3Ab%2Cc]"
        "::50%25 of it is lost.%0AReally: all, of it."
    ]


def test_variants_of_a_scenario_that_break_alike_have_one_annotation() -> None:
    several = [replace(BAD, scenario=f"t.py::test_b[{n}]") for n in range(13)]
    (one,) = annotations(several, REPOSITORY)
    assert one.endswith("%0Aalso in " + ", ".join(f"test_b[{n}]" for n in range(1, 11)) + " and 2 more")
    assert "title=chaos%3A lost in test_b[0]::" in one
    other = replace(BAD, findings=(Finding("stuck", "It is stuck.", "p()"), *BAD.findings))
    assert len(annotations([*several, other, replace(BAD, line=99)], REPOSITORY)) == 3
    assert annotations([ROW, EXPECTED], REPOSITORY) == []


def test_annotations_are_ten_at_most_and_the_worst_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", "/repository")
    several = [replace(BAD, line=n) for n in range(12)]
    assert "file=part/tests/test_a.py," in annotations([BAD], REPOSITORY / "part")[0]
    assert len(annotations([UNKNOWN, *several], REPOSITORY)) == 10
    assert "unknown" not in "".join(annotations([UNKNOWN, *several], REPOSITORY))
    assert "unknown" in annotations([UNKNOWN, BAD], REPOSITORY)[1]


def test_a_trial_that_was_not_judged_is_a_notice_after_the_errors() -> None:
    assert annotations([NOT_JUDGED, BAD], REPOSITORY)[1:] == [
        "::notice file=/repository/tests/test_a.py,line=3,title=chaos%3A not judged%3A test_p99"
        "::the machine was busy for 65 to 338 ms, 3 attempts"
    ]
    several = [replace(BAD, line=n) for n in range(12)]
    levels = [line.split()[0] for line in annotations([NOT_JUDGED] * 12 + several, REPOSITORY)]
    assert levels == ["::error"] * 10 + ["::notice"] * 10
