"""Pairs of faults: which second ones are planned, and how first ones are merged."""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.explore.maps.cell import Cell
from brownout.explore.maps.pairs import SECONDS, First, Pair, Plan, later, plan
from brownout.plan.point import Point, Step

BROKER, BACKEND = "worker->broker", "worker->backend"
LPUSH = Point("client->broker", "LPUSH celery")
AGAIN = Point("client->broker", "LPUSH celery", 2)
DELIVER = Point(BROKER, "BRPOP celery", 2)
ZADD = Point(BROKER, "ZADD unacked_index;HSET unacked")
HELLO, SECOND_HELLO = Point(BROKER, "HELLO 3"), Point(BROKER, "HELLO 3", 2)
BIND = Point(BROKER, "SADD _kombu.binding.celery;SADD _kombu.binding_permanent.celery")
SAMPLES: Mapping[Point, tuple[tuple[bytes, ...], ...]] = {
    AGAIN: ((b"LPUSH", b"celery", b"x"),),
    BIND: ((b"SADD", b"_kombu.binding.celery", b"x"),),
    HELLO: ((b"HELLO", b"3"),),
}
ORDINARY = {LPUSH.full, ZADD.full}


def first(column: str, *points: Point | Step, said: str = "recovered") -> First:
    steps = tuple(point if isinstance(point, Step) else Step(point) for point in points)
    return First(Cell.parse(f"{LPUSH.full}/{column}"), said, steps, SAMPLES)


def columns(pairs: tuple[Pair, ...], spot: str) -> list[str]:
    return [f"{pair.second.moment}-{pair.second.action}" for pair in pairs if pair.spot == spot]


CONNECT = (Step(HELLO, "_kombu.binding"), Step(BIND, "_kombu.binding"))


# --- the plan


def test_a_second_fault_strikes_in_every_way_that_makes_sense() -> None:
    (only,) = plan([first("before-cut", ZADD, AGAIN)], ORDINARY).classes
    assert [pair.second.point for pair in only[0].pairs()] == [AGAIN] * len(SECONDS)
    assert set(columns(only[0].pairs(), AGAIN.full)) == set(SECONDS)
    assert {pair.alone for pair in only[0].pairs()} == {"recovered"}


def test_what_comes_unasked_has_no_moment_before_it() -> None:
    pairs = first("before-cut", DELIVER).pairs()
    assert columns(pairs, DELIVER.full) == ["after-cut", "after-never", "after-kill", "after-restart-broker"]


def test_only_what_is_no_part_of_the_ordinary_life_is_struck() -> None:
    planned = plan([first("before-cut", LPUSH, ZADD)], ORDINARY)
    assert (planned.pairs, planned.classes) == ((), ())
    assert [*planned.counts.values()] == [12, 12, 0, 0]  # an error reply only where its command was seen


def test_a_handshake_is_one_spot_struck_where_its_purpose_is_told() -> None:
    spot = f"{BROKER}/connect: _kombu.binding"
    pairs = first("before-cut", *CONNECT, Step(SECOND_HELLO, "_kombu.binding")).pairs()
    assert {pair.spot for pair in pairs} == {spot}
    assert {pair.second.point for pair in pairs} == {BIND}
    assert sorted(columns(pairs, spot)) == sorted(SECONDS)


def test_connections_for_other_purposes_are_other_spots() -> None:
    pairs = first("before-cut", *CONNECT, Step(SECOND_HELLO, "PING")).pairs()
    assert {pair.second.point for pair in pairs if pair.spot == f"{BROKER}/connect: PING"} == {SECOND_HELLO}
    assert len({pair.spot for pair in pairs}) == 2


def test_handshakes_of_a_life_without_a_fault_are_not_struck() -> None:
    planned = plan([first("before-cut", *CONNECT, AGAIN)], {*ORDINARY, f"{BROKER}/connect: _kombu.binding"})
    assert {pair.spot for pair in planned.pairs} == {AGAIN.full}


def test_equal_recoveries_with_equal_outcomes_are_merged() -> None:
    alike = [first("before-cut", AGAIN, DELIVER), first("before-loading", DELIVER, AGAIN, AGAIN)]
    other_word = first("after-cut", AGAIN, DELIVER, said="duplicate")
    other_spots = first("after-held", AGAIN)
    planned = plan([*alike, other_word, other_spots], ORDINARY)
    assert [[str(each.cell.action) for each in members] for members in planned.classes] == [
        ["cut", "loading"],
        ["cut"],
        ["held"],
    ]
    assert {pair.first for pair in planned.pairs} == {alike[0].cell, other_word.cell, other_spots.cell}


def test_each_step_of_the_pruning_is_counted() -> None:
    firsts = [first("before-cut", LPUSH, *CONNECT, AGAIN), first("before-busy", LPUSH, *CONNECT, AGAIN)]
    every, handshakes, recovery, merged = plan(firsts, ORDINARY).counts.values()
    assert (every, handshakes, recovery, merged) == (2 * (6 + 6 + 7 + 7), 2 * (6 + 7 + 7), 2 * 14, 14)
    assert len(plan(firsts, ORDINARY).pairs) == merged


def test_what_came_before_the_strike_is_not_later() -> None:
    steps = (Step(LPUSH), Step(ZADD), Step(AGAIN))
    assert later(Cell(ZADD, "before", "cut"), steps) == (Step(AGAIN),)
    assert later(Cell(Point(BROKER, "BRPOP celery[idle]"), "before", "cut"), steps) == steps


WIDE = [
    *(first(column, AGAIN, DELIVER) for column in ("before-cut", "before-loading", "before-busy")),
    *(first(column, *CONNECT, said="once") for column in ("before-oom", "after-cut")),
]


def test_a_sample_comes_evenly_from_all_classes_and_by_its_seed() -> None:
    planned = plan(WIDE, ORDINARY)
    drawn = planned.sample(6, 1)
    assert len(drawn) == 6
    assert [sum(pair.alone == said for pair in drawn) for said in ("recovered", "once")] == [3, 3]
    assert drawn == planned.sample(6, 1)
    assert any(drawn != planned.sample(6, seed) for seed in range(2, 9))
    assert planned.sample(0) == planned.sample(10_000) == planned.pairs


def test_another_member_of_each_class_is_checked() -> None:
    planned = plan([*WIDE, first("after-never", AGAIN, said="lost")], ORDINARY)
    checks = planned.checks(set(planned.pairs), per_class=3)
    assert len(checks) == 6  # a class of one has nothing to check
    for member, stands in checks.items():
        assert (member.kind, member.alone) == (stands.kind, stands.alone)
        assert member.first != stands.first
        assert stands in planned.pairs
    assert len({member.first for member in checks}) == 2
    assert any(planned.checks(set(planned.pairs), seed) != checks for seed in range(1, 9))


def test_checks_belong_to_pairs_that_are_tried_and_can_be_limited() -> None:
    planned = plan(WIDE, ORDINARY)
    assert planned.checks(set()) == {}
    tried = planned.pairs[:1]
    assert [*planned.checks(set(tried)).values()] == [*tried]
    few = planned.checks(set(planned.pairs), most=2)
    assert len(few) == 2
    assert {pair.alone for pair in few} == {"recovered", "once"}


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from([LPUSH, AGAIN, DELIVER, ZADD, HELLO, BIND]), max_size=6),
    st.sets(st.sampled_from([AGAIN, ZADD])),
)
def test_pruning_never_adds_a_pair(points: list[Point], ordinary: set[Point]) -> None:
    made = [first("before-cut", *points), first("before-oom", *reversed(points))]
    counts = [*plan(made, {point.full for point in ordinary}).counts.values()]
    assert counts == sorted(counts, reverse=True)


def test_a_plan_of_nothing() -> None:
    assert plan([], ()) == Plan(dict.fromkeys(plan([], ()).counts, 0), ())
