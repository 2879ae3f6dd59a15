"""The fault map as data: what makes it valid, how it is stored, chosen from, and summed up."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.check.words import BAD, FLAGS, GOOD, SEVERITY, UNKNOWN, parts, severity, validity_of, word
from brownout.explore.maps.action import ACTIONS
from brownout.explore.maps.cell import Cell
from brownout.explore.maps.cell_result import CellResult, Comparison, Controls
from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.maps.selection import select
from brownout.plan.near import UnknownName
from brownout.plan.point import MOMENTS, Point

LPUSH = Point("api->broker", "LPUSH celery")
BRPOP = Point("worker->broker", "BRPOP celery")
IDLE = Point("worker->broker", "BRPOP celery[idle]")
ZADD = Point("worker->broker", "ZADD unacked_index;HSET unacked")
ACK = Point("worker->broker", "ZREM unacked_index;HDEL unacked")
TRACE = (LPUSH, BRPOP, ZADD, ACK)


def seen(point: Point, column: str, *words: str, **more: Any) -> CellResult:
    """A cell in which each of these words was seen once."""
    cell = Cell.parse(f"{point.full}/{column}")
    return CellResult(cell, {word: words.count(word) for word in words}, **more)


def mapped(*cells: CellResult, **more: Any) -> FaultMap:
    """A map in which nothing else speaks against its cells."""
    given: dict[str, Any] = {"trace": TRACE, "controls": Controls(3), "seconds": 60.0, "complete": True}
    return FaultMap("defaults", "task", cells=cells, **given | more)


GOOD_CELL = seen(LPUSH, "before-cut", "once")
LOST = seen(ZADD, "before-cut", "lost")

WORDS = st.one_of(
    st.builds(word, st.sampled_from([*GOOD, *BAD]), st.sets(st.sampled_from([*FLAGS]))),
    st.sampled_from([UNKNOWN, "unknown: the fault was not seen to act", "unknown: 1 + 1 → 3"]),
)
POINTS = st.builds(
    Point,
    st.sampled_from(["api->broker", "worker->broker", "worker->backend"]),
    st.sampled_from(["LPUSH celery", "GET meta-<id>", "ZADD a;HSET b", "ZADD c", "BRPOP celery[idle]", "SET é/#1|x"]),
    st.integers(1, 3),
)
CELLS = st.builds(Cell, POINTS, st.sampled_from(MOMENTS), st.sampled_from([*ACTIONS, "melt"]))
TEXTS = st.text(max_size=20)
SECONDS = st.floats(0, 1e6)
RESULTS = st.builds(
    CellResult,
    CELLS,
    st.dictionaries(WORDS, st.integers(1, 5), max_size=3),
    SECONDS,
    st.lists(TEXTS, max_size=3).map(tuple),
    TEXTS,
)
SEVERAL = st.lists(WORDS, min_size=1, max_size=2).map(tuple)
MAPS = st.builds(
    FaultMap,
    st.just("defaults"),
    st.just("task"),
    settings=st.dictionaries(TEXTS, st.one_of(st.none(), st.booleans(), st.integers(), TEXTS), max_size=3),
    versions=st.dictionaries(TEXTS, TEXTS, max_size=2),
    bounds=st.dictionaries(TEXTS, SECONDS, max_size=2),
    trace=st.lists(POINTS, max_size=4, unique=True).map(tuple),
    cells=st.lists(RESULTS, max_size=6, unique_by=lambda each: each.cell).map(tuple),
    controls=st.builds(Controls, st.integers(0, 9), st.lists(TEXTS, max_size=2).map(tuple)),
    cold=st.lists(st.builds(Comparison, CELLS.map(str), SEVERAL, SEVERAL), max_size=2).map(tuple),
    seconds=SECONDS,
    complete=st.booleans(),
)


@settings(max_examples=40)
@given(MAPS)
def test_a_map_goes_through_json_and_back(whole: FaultMap) -> None:
    text = whole.to_json()

    assert FaultMap.from_json(text) == whole
    assert FaultMap.from_json(text).to_json() == text
    assert sum('"cell": "' in line and '"seen": ' in line for line in text.splitlines()) == len(whole.cells)


@settings(max_examples=25)
@given(MAPS, st.randoms())
def test_the_order_in_which_trials_end_is_not_seen(whole: FaultMap, rng: Any) -> None:
    cells = list(whole.cells)
    rng.shuffle(cells)
    turned = dict(reversed(list(whole.settings.items())))

    assert replace(whole, cells=tuple(cells), settings=turned).to_json() == whole.to_json()


def test_cells_stand_in_the_order_of_life_and_then_of_the_columns() -> None:
    given_ = [
        seen(IDLE, "before-cut", "once"),
        seen(ZADD, "after-cut", "stuck"),
        seen(ZADD, "before-melt", "once"),
        seen(ZADD, "before-oom", "lost"),
        seen(ZADD, "before-cut", "lost"),
        seen(LPUSH, "after-never", "hangs"),
    ]

    assert [*mapped(*given_).names.values()] == [
        "api->broker/LPUSH#1/after-never",
        "worker->broker/ZADD#1/before-cut",
        "worker->broker/ZADD#1/before-oom",
        "worker->broker/ZADD#1/before-melt",
        "worker->broker/ZADD#1/after-cut",
        "worker->broker/BRPOP[idle]#1/before-cut",
    ]


def test_a_cell_is_not_there_twice() -> None:
    with pytest.raises(
        ValueError, match=r"each cell once: worker->broker/ZADD unacked_index;HSET unacked#1/before-cut"
    ):
        mapped(LOST, GOOD_CELL, LOST)


def test_every_word_of_the_vocabulary_has_its_severity() -> None:
    assert sorted(SEVERITY) == sorted((*GOOD, *BAD, *FLAGS, UNKNOWN))
    ordered = ["once", "unanswered", "unknown", "once+worker-dead", "duplicate", "lost", "once+silent", "lost+silent"]
    assert sorted(ordered, key=severity) == ordered


@given(WORDS)
def test_a_word_is_bad_as_the_vocabulary_says(given_word: str) -> None:
    outcome, *flags = given_word.split("+")
    unknown = outcome.startswith("unknown")
    assert validity_of(given_word) == ("unknown" if unknown else "invalid" if outcome in BAD or flags else "valid")


@pytest.mark.parametrize("misspelt", ["losst", "once+slient", "unknow", "", "lost+", "unknown because"])
def test_a_word_that_nobody_knows_does_not_pass_for_a_good_one(misspelt: str) -> None:
    with pytest.raises(UnknownName):
        parts(misspelt)
    with pytest.raises(UnknownName):
        seen(ZADD, "before-cut", misspelt)


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (["once"], "valid"),
        (["once", "recovered", "refused", "unanswered"], "valid"),
        (["once", "once", "lost"], "invalid"),
        (["once+silent"], "invalid"),
        (["once", "unknown: it stalled"], "unknown"),
        (["unknown+silent"], "unknown"),
        (["lost", "unknown"], "invalid"),
        ([], "unknown"),
    ],
)
def test_the_verdict_of_a_cell(words: list[str], verdict: str) -> None:
    assert seen(ZADD, "before-cut", *words).verdict == verdict


def test_words_of_a_cell() -> None:
    cell = seen(ZADD, "before-cut", "once", "once", "lost+silent", "stuck")

    assert cell.words == ("once", "lost+silent", "stuck")
    assert (cell.primary, cell.worst, cell.flags) == ("once", "lost+silent", ("silent",))
    with pytest.raises(ValueError, match="at least 1"):
        replace(cell, seen={"once": 0})


VOID = {
    "a bad control": {"controls": Controls(3, ("lost",))},
    "cold": {"cold": (Comparison(str(LOST.cell), ("lost", "stuck"), ("once",)),)},
}
DOUBTS: dict[str, dict[str, Any]] = {
    "the map was interrupted": {"complete": False},
    "no trial ran without a fault": {"controls": Controls()},
    "no cell was tried": {"cells": ()},
    "some cells have no verdict": {"cells": (GOOD_CELL, seen(ZADD, "before-oom", "unknown: it stalled"))},
    "forked processes were not compared with cold ones": {
        "cold": (Comparison("x", ("once",), ("unknown: it stalled",)),)
    },
}


def test_a_map_is_as_good_as_its_worst_cell() -> None:
    assert mapped(GOOD_CELL).validity == "valid"
    assert mapped(GOOD_CELL, LOST).validity == "invalid"
    assert mapped(GOOD_CELL, LOST).tally == {"valid": 1, "invalid": 1, "unknown": 0}


@pytest.mark.parametrize("void", VOID.values(), ids=VOID)
def test_a_void_map_says_nothing_good_or_bad(void: dict[str, Any]) -> None:
    for cells in ((GOOD_CELL,), (GOOD_CELL, LOST)):
        assert mapped(*cells, **void).validity == "unknown"
        assert len(mapped(*cells, **void).void) == 1


@pytest.mark.parametrize(("why", "doubt"), DOUBTS.items(), ids=DOUBTS)
def test_a_doubt_keeps_a_map_from_being_valid_and_nothing_more(why: str, doubt: dict[str, Any]) -> None:
    doubtful = replace(mapped(GOOD_CELL), **doubt)

    assert (doubtful.validity, doubtful.doubts, doubtful.void) == ("unknown", (why,), ())
    bad = replace(doubtful, cells=(*doubtful.cells, LOST))
    assert bad.validity == "invalid"


def test_forked_and_cold_processes_show_words_of_one_race() -> None:
    name = "worker->broker/ZREM#1/after-kill-child"

    assert mapped(GOOD_CELL, cold=(Comparison(name, ("once", "recovered"), ("recovered",)),)).validity == "valid"
    assert mapped(GOOD_CELL, cold=(Comparison(name, ("once", "recovered"), ("lost", "stuck")),)).void
    doubtful = mapped(GOOD_CELL, cold=(Comparison(name, ("once",), ("unknown: it stalled", "lost")),))
    assert doubtful.void, "one of them has a verdict, and it is another"


def test_a_race_has_more_than_one_verdict() -> None:
    assert seen(ACK, "after-kill-child", "once", "recovered").race
    assert not seen(ACK, "after-kill-child", "once", "once").race
    assert not seen(ACK, "after-kill-child", "once", "unknown: it stalled").race


def test_counts_and_rate() -> None:
    race = seen(BRPOP, "after-kill", "once", "lost+silent", "once")
    whole = mapped(GOOD_CELL, LOST, race, cold=(Comparison("x", ("once",), ("once", "once+silent")),), seconds=3.0)

    assert [*whole.counts().items()] == [("once", 2), ("lost", 2), ("silent", 1)]
    assert (whole.trials, whole.rate) == (1 + 1 + 3 + 3 + 2, 200.0)
    assert mapped(GOOD_CELL, seconds=0.0).rate == 0.0


def test_runs_of_one_map_are_summed() -> None:
    one = mapped(replace(LOST, seen={"once": 1}, witness=("fine",), seconds=2.0), GOOD_CELL, bounds={"held": 6.0})
    two = mapped(replace(LOST, witness=("gone",), note="6 s"), seen(ACK, "after-cut", "once"))
    whole = one.merged(two, replace(one, complete=False, controls=Controls(1, ("lost",))))

    cell = whole.result("worker->broker/ZADD#1/before-cut")
    assert cell.seen == {"once": 2, "lost": 1}
    assert (cell.witness, cell.note, cell.seconds) == (("gone",), "6 s", 2.0)
    assert len(whole.cells) == 3
    assert (whole.controls, whole.seconds, whole.complete) == (Controls(7, ("lost",)), 180.0, False)
    assert whole.bounds == {"held": 6.0}
    with pytest.raises(ValueError, match=r"not runs of one map: versions .*5\.6"):
        one.merged(mapped(versions={"celery": "5.6"}))


def test_a_cell_has_a_short_name_unless_it_is_ambiguous() -> None:
    other = seen(Point("worker->broker", "ZADD schedule"), "before-cut", "once")
    whole = mapped(LOST, other)

    assert whole.result("worker->broker/ZADD schedule#1/before-cut") == other
    assert whole.result("worker->broker/ZADD unacked_index;HSET unacked#1/before-cut") == LOST
    with pytest.raises(UnknownName, match=r"no cell is called 'worker->broker/ZADD#1/before-cut'; did you mean"):
        whole.result("worker->broker/ZADD#1/before-cut")


CHOICE = [
    Cell(p, m, a) for p in (*TRACE, IDLE, replace(BRPOP, ordinal=11)) for m in MOMENTS for a in ("kill", "kill-child")
]


@pytest.mark.parametrize(
    ("pattern", "points"),
    [
        ("worker->broker/BRPOP#1", {BRPOP}),
        ("BRPOP", {BRPOP, replace(BRPOP, ordinal=11)}),
        ("BRPOP[idle]", {IDLE}),
        ("brpop", {BRPOP, replace(BRPOP, ordinal=11), IDLE}),
        ("*BRPOP#?", {BRPOP}),
        ("ZADD unacked_index;HSET unacked", {ZADD}),
        ("HDEL", {ACK}),
        ("api->broker", {LPUSH}),
        ("api*", {LPUSH}),
    ],
)
def test_points_are_chosen_by_name_glob_or_part(pattern: str, points: set[Point]) -> None:
    assert select(CHOICE, [pattern]) == tuple(cell for cell in CHOICE if cell.point in points)


def test_actions_and_single_cells_are_chosen() -> None:
    assert select(CHOICE) == tuple(CHOICE)
    assert {cell.action for cell in select(CHOICE, actions=["kill"])} == {"kill"}
    assert {cell.action for cell in select(CHOICE, actions=["kill*"])} == {"kill", "kill-child"}
    assert {(cell.moment, cell.action) for cell in select(CHOICE, (), ["after-kill"])} == {("after", "kill")}
    for name in ("worker->broker/ZADD#1/before-kill", str(Cell(ZADD, "before", "kill"))):
        assert select(CHOICE, [name]) == (Cell(ZADD, "before", "kill"),)
    assert len(select(CHOICE, ["LPUSH", "ZADD"], ["kill", "kill-child"])) == 8


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"points": ["worker->broker/ZAD#1"]}, r"no point is called .*did you mean 'worker->broker/ZADD#1'"),
        ({"points": ["LPUSH", "RPUSH"]}, "no point is called 'RPUSH'"),
        ({"actions": ["kil"]}, r"no action is called 'kil'; did you mean 'kill'"),
        ({"actions": ["child"]}, "did you mean 'kill-child'"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(asked: dict[str, Any], answer: str) -> None:
    with pytest.raises(UnknownName, match=answer):
        select(CHOICE, **asked)


def test_a_filtered_map_keeps_what_vouches_for_it() -> None:
    whole = mapped(GOOD_CELL, LOST, seen(ZADD, "after-cut", "once"), seen(ACK, "after-cut", "unknown"))

    assert whole.filtered(["ZADD"], ["before-cut"]) == replace(whole, cells=(LOST,), part=True)
    assert whole.filtered() == whole
    assert [result.verdict for result in whole.filtered(only_bad=True).cells] == ["invalid", "unknown"]
    assert whole.filtered() == whole


def test_a_map_is_saved_whole(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    mapped(LOST).save(path)
    mapped(GOOD_CELL, LOST).save(path)

    assert FaultMap.load(path) == mapped(GOOD_CELL, LOST)
    assert [path.name for path in tmp_path.iterdir()] == ["map.json"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"kind": "fault map"', '"kind": "capsule"', "the file has another kind"),
        ('"kind"', '"sort"', "not a fault map: no 'kind'"),
        ('"schema": 2', '"schema": 3', "its schema is 3; this brownout reads 2"),
        ('"lost"', '"losst"', "no outcome is called 'losst'; did you mean 'lost'"),
        ('"lost": 1', '"lost": "often"', "not a fault map: "),
        ("/before-cut", "/beside-cut", "not a cell"),
        ('"trace"', '"traces"', "no 'trace'"),
        ('"workload"', '"werkload"', "werkload"),
        ("{", "", "not a fault map: Extra data"),
    ],
)
def test_what_is_no_map_says_so(old: str, new: str, why: str) -> None:
    text = mapped(LOST).to_json()
    assert old in text

    with pytest.raises(ValueError, match=why):
        FaultMap.from_json(text.replace(old, new, 1))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "\x00\xff"], ids=ascii)
def test_a_file_that_is_no_map_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text(text, encoding="latin-1")

    with pytest.raises(ValueError, match="not a fault map") as raised:
        FaultMap.load(path)
    assert str(raised.value).startswith(str(path))
