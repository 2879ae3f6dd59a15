"""Names of points and cells, and the words for what became of a task."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.check.words import BAD, FLAGS, GOOD, UNKNOWN, validity_of, word
from brownout.explore.maps.cell import Cell, names
from brownout.plan.point import MOMENTS, Point

ZADD = Point("worker->broker", "ZADD unacked_index;HSET unacked")
IDLE = Point("worker->broker", "BRPOP celery[idle]")
LABELS = st.from_regex(r"\A[A-Z]{2,8}( [a-z#/;\[\]<>é_ -]{1,12})?(\[idle\])?\Z")
POINTS = st.builds(Point, st.from_regex(r"\A[a-z0-9-]{1,9}->[a-z]{1,9}\Z"), LABELS, st.integers(1, 99))
CELLS = st.builds(Cell, POINTS, st.sampled_from(MOMENTS), st.from_regex(r"\A[a-z]{1,8}(-[a-z]{1,8})?\Z"))


@settings(max_examples=50)
@given(CELLS)
def test_a_cell_is_written_and_read(cell: Cell) -> None:
    assert Cell.parse(cell.full) == cell
    assert Point.parse(str(cell.point)) == cell.point
    assert str(cell).startswith(cell.point.full)


def test_a_point_has_a_short_name() -> None:
    assert (ZADD.command, ZADD.short) == ("ZADD", "worker->broker/ZADD#1")
    assert ZADD.full == "worker->broker/ZADD unacked_index;HSET unacked#1"
    assert (IDLE.command, IDLE.short) == ("BRPOP[idle]", "worker->broker/BRPOP[idle]#1")


def test_two_points_with_one_short_name_have_their_full_ones() -> None:
    other, get = Point("worker->broker", "ZADD schedule"), Point("client->backend", "GET meta")
    assert names([ZADD, get, other, get]) == {ZADD: ZADD.full, get: get.short, other: other.full}
    again = Point(ZADD.edge, ZADD.label, 2)
    assert names([ZADD, again]) == {ZADD: ZADD.short, again: "worker->broker/ZADD#2"}


@pytest.mark.parametrize("text", ["", "worker/GET a#1", "a->b/GET a", "a->b/#1", "a->b/GET a#x", "a b->c/GET#1"])
def test_what_is_no_point_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="not a point"):
        Point.parse(text)


@pytest.mark.parametrize("text", ["", "a->b/GET#1", "a->b/GET#1/before", "a->b/GET#1/before-", "a->b/GET#1/during-cut"])
def test_what_is_no_cell_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="not a cell"):
        Cell.parse(text)


def test_a_word_names_the_flags_in_one_order() -> None:
    assert word("lost", ["silent", "worker-dead"]) == "lost+worker-dead+silent"
    assert word("once") == "once"


def test_what_is_good_and_what_is_bad() -> None:
    assert not {*GOOD} & {*BAD} | ({*GOOD, *BAD} & {*FLAGS, UNKNOWN})
    assert {validity_of(outcome) for outcome in GOOD} == {"valid"}
    assert {validity_of(outcome) for outcome in BAD} == {"invalid"}
    assert validity_of(UNKNOWN) == "unknown"
    for flags in (flags for size in (1, 2, 3) for flags in combinations(FLAGS, size)):
        assert {validity_of(word(outcome, flags)) for outcome in GOOD} == {"invalid"}
