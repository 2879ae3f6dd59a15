"""Two maps beside each other, and several runs of one."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brownout.explore.maps.cell import Cell
from brownout.explore.maps.cell_result import CellResult, Controls
from brownout.explore.maps.diff import Change, Diff, agreement, diff, reproduced, text
from brownout.explore.maps.faultmap import FaultMap
from tests.unit.test_explore_faultmap import ACK, BRPOP, CELLS, LPUSH, MAPS, WORDS, ZADD, mapped, seen

BEFORE = mapped(
    seen(LPUSH, "before-cut", "once"),
    seen(LPUSH, "after-never", "hangs"),
    seen(BRPOP, "after-held", "recovered"),
    seen(ZADD, "before-cut", "lost"),
    seen(ZADD, "after-cut", "stuck"),
    seen(ZADD, "before-oom", "lost"),
    seen(ACK, "before-cut", "duplicate-later"),
    seen(ACK, "after-kill-child", "once", "once", "recovered"),
    seen(ACK, "after-cut", "unknown: it stalled"),
)
AFTER = replace(
    mapped(
        seen(LPUSH, "before-cut", "recovered"),
        seen(LPUSH, "after-never", "duplicate"),
        seen(BRPOP, "after-held", "lost"),
        seen(ZADD, "before-cut", "lost"),
        seen(ZADD, "after-cut", "recovered"),
        seen(ACK, "before-cut", "once+silent"),
        seen(ACK, "after-kill-child", "recovered", "recovered", "once"),
        seen(ACK, "after-cut", "once+silent"),
        seen(ACK, "after-held", "once+silent"),
        seen(ACK, "after-never", "once"),
    ),
    name="hardened",
)


@settings(max_examples=30)
@given(MAPS)
def test_a_map_does_not_differ_from_itself(one: FaultMap) -> None:
    same = diff(one, one)

    assert same.empty
    assert same.same == len(one.cells)
    assert text(same).endswith(f"the same: {len(one.cells)}")


Seen = Mapping[str, int] | None


def turned(changes: tuple[Change, ...]) -> set[Change]:
    return {Change(each.cell, each.now, each.was) for each in changes}


SEEN = st.none() | st.dictionaries(WORDS, st.integers(1, 3), max_size=2)  # None: the map has no such cell


@settings(max_examples=50)
@given(st.dictionaries(CELLS, st.tuples(SEEN, SEEN), max_size=8))
def test_the_difference_backwards_is_the_other_way_round(cells: dict[Cell, tuple[Seen, Seen]]) -> None:
    one = mapped(*(CellResult(cell, seen) for cell, (seen, _) in cells.items() if seen is not None))
    other = mapped(*(CellResult(cell, seen) for cell, (_, seen) in cells.items() if seen is not None))
    there, back = diff(one, other), diff(other, one)

    assert turned(there.worse) == {*back.better}
    assert turned(there.better) == {*back.worse}
    assert turned(there.changed) == {*back.changed}
    assert turned(there.shifted) == {*back.shifted}
    assert turned(there.unknown) == {*back.unknown}
    assert (there.only_a, there.only_b, there.same) == (back.only_b, back.only_a, back.same)
    assert [change.step for change in there.worse] == [1] * len(there.worse)
    assert [change.step for change in there.better] == [-1] * len(there.better)
    changes = (*there.worse, *there.better, *there.changed, *there.shifted, *there.unknown)
    assert len(changes) + len(there.only_a) + there.same == len(one.cells)
    assert len(changes) + len(there.only_b) + there.same == len(other.cells)


def named(changes: tuple[Change, ...]) -> list[str]:
    return [f"{each.cell.point.command} {each.cell.moment}-{each.cell.action}" for each in changes]


def test_what_hardening_does_is_sorted_the_worst_first() -> None:
    found = diff(BEFORE, AFTER)

    assert named(found.worse) == ["BRPOP after-held"]
    assert named(found.better) == ["ZADD after-cut"]
    assert named(found.changed) == ["ZREM before-cut", "LPUSH after-never"]
    assert [change.step for change in found.changed] == [1, 1]
    assert named(found.shifted) == ["LPUSH before-cut"]
    assert named(found.unknown) == ["ZREM after-cut"]
    assert [result.cell.action for result in found.only_a] == ["oom"]
    assert [result.cell.action for result in found.only_b] == ["held", "never"]
    assert found.same == 2
    assert not found.empty


def test_the_difference_as_a_person_reads_it() -> None:
    assert text(diff(BEFORE, AFTER)).splitlines() == [
        "defaults/task → hardened/task",
        "  beware: defaults/task: some cells have no verdict",
        "",
        "worse: 1 (was good, is bad)",
        "  worker->broker/BRPOP#1/after-held  recovered → lost",
        "",
        "better: 1 (was bad, is good)",
        "  worker->broker/ZADD#1/after-cut  stuck → recovered",
        "",
        "changed: 2 (bad in both, but not the same)",
        "  worker->broker/ZREM#1/before-cut  duplicate-later → once+silent  (worse)",
        "  api->broker/LPUSH#1/after-never   hangs → duplicate  (worse)",
        "",
        "shifted: 1 (good in both, but not the same)",
        "  api->broker/LPUSH#1/before-cut  once → recovered",
        "",
        "unknown: 1 (no verdict in one map)",
        "  worker->broker/ZREM#1/after-cut  unknown: it stalled → once+silent",
        "",
        "only in defaults/task: 1, of them bad: 1",
        "  worker->broker/ZADD#1: before-oom (lost)",
        "",
        "only in hardened/task: 2, of them bad: 1",
        "  worker->broker/ZREM#1: after-held (once+silent), after-never",
        "",
        "the same: 2",
    ]


def test_the_difference_as_json() -> None:
    found = json.loads(diff(BEFORE, AFTER).to_json())

    assert found["worse"] == [
        {"cell": "worker->broker/BRPOP celery#1/after-held", "was": ["recovered"], "now": ["lost"]}
    ]
    assert found["only_b"][0]["seen"] == ["once+silent"]
    assert (found["a"], found["b"], found["same"]) == ("defaults/task", "hardened/task", 2)
    assert diff(BEFORE, BEFORE).to_json() == Diff(
        "defaults/task", "defaults/task", same=9, warnings=("defaults/task: some cells have no verdict",) * 2
    ).to_json()  # fmt: skip


def test_maps_of_one_configuration_are_told_apart_by_their_versions() -> None:
    old, new = (
        mapped(versions={"celery": "5.6.0", "kombu": "5.7.0"}),
        mapped(versions={"celery": "5.7.0", "kombu": "5.7.0"}),
    )

    assert (diff(old, new).a, diff(old, new).b) == ("defaults/task (celery 5.6.0)", "defaults/task (celery 5.7.0)")


def test_a_void_map_is_no_measure() -> None:
    void = replace(AFTER, controls=Controls(9, ("lost",)))

    assert diff(BEFORE, void).warnings[-1] == "hardened/task: a trial without a fault went wrong: lost"


def test_runs_agree_within_declared_sets() -> None:
    race = seen(ACK, "after-kill-child", "once")
    steady, flaky, doubt = (
        seen(ZADD, "before-cut", "lost"),
        seen(ACK, "before-cut", "once"),
        seen(BRPOP, "after-cut", "once"),
    )
    one = mapped(race, steady, flaky, doubt, seen(LPUSH, "before-cut", "once"))
    two = mapped(
        seen(ACK, "after-kill-child", "recovered"), steady, seen(ACK, "before-cut", "recovered"),
        seen(BRPOP, "after-cut", "unknown: it stalled"),
    )  # fmt: skip
    declared = mapped(seen(ACK, "after-kill-child", "once", "recovered"), seen(BRPOP, "after-cut", "once", "unknown"))
    found = agreement([one, two, two], declared)

    assert (found.cells, found.agreeing, found.share) == (5, 2, 0.4)
    assert found.declared == ("worker->broker/ZREM#1/after-kill-child",)
    assert found.differing == (
        "api->broker/LPUSH#1/before-cut: once ×1",
        "worker->broker/BRPOP#1/after-cut: unknown: it stalled ×2, once ×1",
        "worker->broker/ZREM#1/before-cut: recovered ×2, once ×1",
    )


def test_what_is_outside_of_the_declared_set_differs_and_what_has_no_verdict_agrees_with_nothing() -> None:
    race = seen(ACK, "after-kill-child", "once", "recovered")
    once = mapped(replace(race, seen={"once": 1}))
    assert agreement([once, mapped(replace(race, seen={"duplicate": 1}))], mapped(race)).agreeing == 0
    assert agreement([once, mapped(replace(race, seen={"recovered": 1}))]).agreeing == 0, "nobody has declared it"
    stalled = mapped(seen(ACK, "before-cut", "unknown: it stalled"))
    assert agreement([stalled, stalled]).agreeing == 0
    assert agreement([mapped(), mapped()]).share == 0.0


def test_one_run_agrees_with_nobody() -> None:
    with pytest.raises(ValueError, match="two runs or more"):
        agreement([BEFORE])
    with pytest.raises(ValueError, match="not runs of one map"):
        agreement([BEFORE, AFTER])


def test_what_is_bad_again_nine_times_of_ten_or_within_its_race_is_reproduced() -> None:
    before = mapped(
        seen(ZADD, "before-cut", "lost"),
        seen(BRPOP, "after-cut", "lost"),
        seen(ACK, "after-kill-child", "duplicate", "once"),
        seen(ACK, "before-cut", "once"),
    )
    nine = ["lost"] * 9
    again = mapped(
        seen(ZADD, "before-cut", *nine, "once"),
        seen(BRPOP, "after-cut", *nine[:8], "once", "once"),
        seen(ACK, "after-kill-child", "duplicate", *["once"] * 9),
    )
    assert reproduced(before, again) == [
        "not reproduced: worker->broker/BRPOP#1/after-cut: lost ×8, once ×2; stored was lost",
        "2 of 3 bad cells are reproduced in 90% of trials or as a race; 10 trials each",
    ]
    assert reproduced(mapped(seen(ACK, "before-cut", "once")), again) == []


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (["duplicate", "once"], ["once"] * 10),
        (["duplicate", "once"], ["duplicate", "lost"]),
        (["lost"], ["stuck"] * 10),
    ],
    ids=["a race that is never bad", "a race with another word", "bad in another way"],
)
def test_what_is_not_reproduced(stored: list[str], words: list[str]) -> None:
    found = reproduced(mapped(seen(ACK, "before-cut", *stored)), mapped(seen(ACK, "before-cut", *words)))
    assert found[0].startswith("not reproduced: worker->broker/ZREM#1/before-cut: ")
    assert found[1].startswith("0 of 1 bad cells are reproduced")
