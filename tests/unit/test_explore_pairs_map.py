"""What two faults led to, as data: what the outcomes mean, whether merging holds, the report, the file."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.check.words import BAD, GOOD, word
from brownout.explore.maps.cell import Cell
from brownout.explore.maps.pairs import First, Pair
from brownout.explore.maps.pairs_map import UNREACHED, Check, PairMap, PairResult
from brownout.plan.point import Point, Step
from brownout.report.maps.pairs import report

AGAIN = Point("client->broker", "LPUSH celery", 2)


def first(column: str) -> First:
    return First(Cell.parse(f"client->broker/LPUSH celery#1/{column}"), "recovered", (Step(AGAIN),))


WIDE = [first("before-cut"), first("before-oom")]
PAIR = WIDE[0].pairs()[0]


def result(pair: Pair = PAIR, *said: str, unreached: str = "", **more: Any) -> PairResult:
    seen = {word: said.count(word) for word in said}
    return PairResult(pair, seen, {unreached: 1} if unreached else {}, **more)


def mapped(*rows: PairResult, **more: Any) -> PairMap:
    given: dict[str, Any] = {"counts": {"all": 9, "left": 4}, "planned": 4, "controls": 3, "complete": True}
    return PairMap("late", "task", rows=rows, **given | more)


@pytest.mark.parametrize(
    ("rows", "more", "validity"),
    [
        ([result(PAIR, "once")], {}, "valid"),
        ([result(PAIR, "lost")], {}, "invalid"),
        ([result(PAIR, "once+silent")], {}, "invalid"),
        ([result(PAIR, "unknown: nobody knows")], {}, "unknown"),
        ([result(PAIR, "once"), result(WIDE[0].pairs()[1], unreached="lost")], {}, "valid"),
        ([result(PAIR, unreached="once")], {}, "unknown"),
        ([result(PAIR, "once")], {"complete": False}, "unknown"),
        ([result(PAIR, "once")], {"controls": 0}, "unknown"),
        ([result(PAIR, "once")], {"unknown": 1}, "unknown"),
        ([result(PAIR, "lost")], {"complete": False}, "invalid"),
        ([result(PAIR, "lost")], {"void": ("a trial without a fault went wrong",)}, "unknown"),
        ([], {}, "unknown"),
    ],
)
def test_validity(rows: list[PairResult], more: dict[str, Any], validity: str) -> None:
    assert mapped(*rows, **more).validity == validity


def test_a_second_fault_that_was_not_reached_is_counted_apart() -> None:
    pairs = WIDE[0].pairs()
    map_ = mapped(result(pairs[0], "lost+silent"), result(pairs[1], unreached="recovered"), result(pairs[2], "once"))
    assert map_.outcomes() == {"silent": 1, "lost": 1, "once": 1, UNREACHED: 1}
    assert [result.pair for result in map_.bad] == [pairs[0]]


def test_worse_is_told_from_as_bad_as_the_first_alone() -> None:
    lost = replace(PAIR, alone="lost")
    assert result(PAIR, "lost").worse
    assert result(lost, "lost+silent").worse
    assert not result(lost, "lost").worse
    assert not result(lost, "duplicate").worse
    assert not result(PAIR, "once").worse


def checked(ours: PairResult, theirs: PairResult) -> str:
    return Check(ours, theirs).word


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (result(PAIR, "once"), result(PAIR, "once"), "agrees"),
        (result(PAIR, "once"), result(PAIR, "recovered"), "both are good"),
        (result(PAIR, "once"), result(PAIR, "lost"), "disagrees"),
        (result(PAIR, "stuck"), result(PAIR, "lost"), "disagrees"),
        (result(PAIR, "once"), result(PAIR, unreached="once"), "disagrees"),
        (result(PAIR, unreached="once"), result(PAIR, unreached="once"), "agrees"),
        (result(PAIR, "once", "recovered"), result(PAIR, "recovered", "recovered"), "differs from run to run"),
        (result(PAIR, "once", "once"), result(PAIR, "stuck", "stuck"), "disagrees"),
        (result(PAIR, "once"), result(PAIR, "unknown: why"), "no verdict"),
        (result(PAIR, "once", "unknown: why"), result(PAIR, "lost"), "disagrees"),
    ],
)
def test_a_check(ours: PairResult, theirs: PairResult, said: str) -> None:
    assert checked(ours, theirs) == checked(theirs, ours) == said


def test_trials_of_one_pair_are_merged_and_the_worse_one_proves_it() -> None:
    good, bad = result(PAIR, "once", seconds=2.0), result(PAIR, "lost", witness=("+1 s gone",), seconds=1.0)
    for merged in (good.merged(bad), bad.merged(good)):
        assert merged.seen == {"once": 1, "lost": 1}
        assert (merged.witness, merged.seconds) == (("+1 s gone",), 2.0)
    assert result(PAIR, unreached="once").merged(good).unreached == {"once": 1}


def test_the_report_says_what_was_pruned_what_is_worse_and_whether_merging_holds() -> None:
    member = WIDE[1]
    rows = [
        result(PAIR, "lost", witness=("+0.1 s worker->broker gone",)),
        result(WIDE[0].pairs()[1], "recovered"),
        result(WIDE[0].pairs()[2], "unknown: it broke", note="it broke at once"),
        result(member.pairs()[0], "lost", instead=PAIR.first),
        result(member.pairs()[1], "stuck", instead=PAIR.first),
    ]
    text = report(
        mapped(*rows, firsts=5, unknown=1, classes=2, trials=8, seconds=60.0, seed=7), 1, "invalid", ["a remark"]
    )
    assert "late/task: pairs of faults" in text
    assert "5 first faults, 1 of them left out without a verdict; pairs after each step:" in text
    assert "       9  all\n       4  left\n" in text
    assert "3 of 4 pairs tried; 2 classes" in text
    assert "merging: 1 of 2 compared pairs (50%) agree with the pair that represents them" in text
    assert f"  disagrees: {member.pairs()[1]}: stuck\n    represented by: {rows[1].pair}: recovered\n" in text
    assert f"\n{PAIR}\n  lost; the first fault alone: recovered\n  +0.1 s worker->broker gone\n" in text
    assert "it broke at once" in text
    assert "3 trials without a fault; 8 trials in 60 s, 8 a minute" in text
    assert "doubt: first faults without a verdict: 1" in text
    assert text.endswith("a remark\n✗ invalid: exit code 1\n")
    assert "a sample of 4 (seed 7)" in report(mapped(*rows, planned=3, seed=7), 1, "invalid")
    assert report(PairMap("late", "task"), 143, "interrupted").endswith("? interrupted: exit code 143\n")
    assert "4 pairs tried, shard 2/3; " in report(mapped(*rows, shard="2/3"), 1, "invalid")


# --- stored


WORDS = st.builds(word, st.sampled_from([*GOOD, *BAD])) | st.just("unknown: 1 + 1 → 3")
PAIRS = st.sampled_from([pair for each in WIDE for pair in each.pairs()])
ROWS = st.builds(
    PairResult,
    PAIRS,
    st.dictionaries(WORDS, st.integers(1, 3), max_size=2),
    st.dictionaries(WORDS, st.integers(1, 3), max_size=1),
    st.floats(0, 100),
    st.lists(st.text(max_size=9), max_size=3).map(tuple),
    st.text(max_size=9),
    st.none() | st.just(PAIR.first),
)
MAPS = st.builds(
    PairMap,
    st.text(max_size=9),
    st.text(max_size=9),
    settings=st.dictionaries(st.text(max_size=9), st.booleans() | st.none(), max_size=2),
    counts=st.dictionaries(st.text(max_size=9), st.integers(0, 9999), max_size=3),
    void=st.lists(st.text(max_size=9), max_size=2).map(tuple),
    complete=st.booleans(),
    rows=st.lists(ROWS, max_size=4).map(tuple),
)


@settings(max_examples=50)
@given(MAPS)
def test_a_map_comes_back_from_its_text(map_: PairMap) -> None:
    text = map_.to_json()
    assert PairMap.from_json(text) == map_
    several: list[Collection[object]] = [map_.settings, map_.counts, map_.void, map_.rows]
    more = sum(len(each) + 1 for each in several if each)  # a line each
    assert text.count("\n") == PairMap("", "").to_json().count("\n") + more


def test_a_map_is_stored(tmp_path: Path) -> None:
    map_ = mapped(result(PAIR, "lost"))
    map_.save(tmp_path / "pairs.json")
    assert PairMap.load(tmp_path / "pairs.json") == map_
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.json"]


OTHERS = ('{"kind": "fault map", "schema": 1}', '{"kind": "pair map", "schema": 2}',
          '{"kind": "pair map", "schema": 1, "rows": [{}]}')  # fmt: skip


@pytest.mark.parametrize("text", ["", "[]", "{}", *OTHERS])
def test_what_is_no_map_of_pairs_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"x\.json: not a pair map: "):
        PairMap.load(tmp_path / "x.json")
