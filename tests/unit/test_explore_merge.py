"""Parts of a map that several machines made are joined to what one machine would have made."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brownout.explore import campaign as campaigns
from brownout.explore import pairs_campaign
from brownout.explore.discovery import Discovery
from brownout.explore.finding import Finding
from brownout.explore.maps.action import ACTIONS
from brownout.explore.maps.baseline import Accepted, judge
from brownout.explore.maps.cell import Cell
from brownout.explore.maps.cell_result import CellResult, Controls
from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.maps.kept import Kept
from brownout.explore.maps.merge import joined
from brownout.explore.maps.pairs import Pair
from brownout.explore.maps.pairs_map import PairMap, PairResult
from brownout.explore.options import Options
from brownout.explore.pairs_campaign import PairCampaign
from brownout.plan.point import MOMENTS
from brownout.plan.shard import Shard
from tests.unit.test_explore_baseline import TODAY
from tests.unit.test_explore_campaign import CELL, campaign
from tests.unit.test_explore_faultmap import GOOD_CELL, LOST, TRACE, WORDS, mapped
from tests.unit.test_explore_pairs_map import PAIR, result

CELLS = st.builds(Cell, st.sampled_from(TRACE), st.sampled_from(MOMENTS), st.sampled_from([*ACTIONS]))
RESULTS = st.builds(CellResult, CELLS, st.dictionaries(WORDS, st.integers(1, 5), max_size=2))
WHOLE = st.lists(RESULTS, max_size=12, unique_by=lambda result: result.cell).map(lambda cells: mapped(*cells))


def divided(whole: FaultMap, of: int) -> list[FaultMap]:
    """The parts of a map that `of` machines would make."""
    shards = [Shard.parse(f"{n}/{of}") for n in range(1, of + 1)]
    return [
        replace(whole, shard=str(shard), cells=shard.share(whole.cells, lambda result: result.cell.full))
        for shard in shards
    ]


def accepted(name: str) -> Accepted:
    return Accepted(name, "defaults/task", ("lost",), "why", "https://example.org/1", TODAY, "baseline.toml:1")


@given(WHOLE, st.integers(1, 6), st.data())
def test_a_joined_map_is_judged_as_a_whole_one(whole: FaultMap, of: int, data: st.DataObject) -> None:
    parts = data.draw(st.permutations(divided(whole, of)))
    names = [result.cell.full for result in whole.cells]
    entries = tuple(accepted(name) for name in data.draw(st.lists(st.sampled_from([*names, "a->b/C k#1/after-cut"]),
                                                                  unique=True)))  # fmt: skip
    found = joined(parts)
    assert isinstance(found, FaultMap)
    assert (found.cells, found.whole, found.shard) == (whole.cells, True, "")
    assert found.validity == whole.validity
    assert judge(found, entries, TODAY) == judge(whole, entries, TODAY)


def test_a_joined_map_sums_what_its_parts_spent() -> None:
    first, second = divided(mapped(GOOD_CELL, LOST), 2)
    whole = joined([first, replace(second, controls=Controls(2, ("lost",)), repeats=3)])
    assert isinstance(whole, FaultMap)
    assert (whole.controls, whole.seconds, whole.repeats) == (Controls(5, ("lost",)), 120.0, 3)
    assert whole.void, "a trial without a fault went wrong in one part"


def test_a_joined_map_is_no_more_than_its_parts() -> None:
    first, second = divided(mapped(GOOD_CELL, LOST), 2)
    assert not joined([first, replace(second, complete=False)]).whole
    assert not joined([first, replace(second, part=True)]).whole
    one, _, three = divided(mapped(GOOD_CELL, LOST), 3)
    partial = joined([three, one])
    assert (partial.shard, partial.whole) == ("1,3/3", False)
    assert joined([partial, divided(mapped(GOOD_CELL, LOST), 3)[1]]).whole, "the part that was late"


PARTS = divided(mapped(GOOD_CELL, LOST, versions={"celery": "5.7", "redis": "8"}), 2)
PAIRS = PairMap("late", "task", shard="1/2", controls=1, complete=True)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([PARTS[0], replace(PARTS[1], name="late")], r"not parts of one map: name defaults and late"),
        ([PARTS[0], replace(PARTS[1], settings={"x": 1})], r"not parts of one map: settings {} and {'x': 1}"),
        ([PARTS[0], replace(PARTS[1], options=("--app", "shop"))], r"not parts of one map: options \(\) and \('--app'"),
        (
            [PARTS[0], replace(PARTS[1], versions={"celery": "5.6", "redis": "8"})],
            r"not parts of one map: versions {'celery': '5.7'} and {'celery': '5.6'}$",
        ),
        (
            [PARTS[0], replace(PARTS[1], trace=TRACE[1:])],
            "only some of them have the points api->broker/LPUSH celery#1",
        ),
        ([PARTS[0], replace(PARTS[0], shard="2/2")], "2 parts have the cell "),
        ([PARTS[0], replace(PARTS[0], cells=())], "shard 1 of 2 is there twice"),
        ([PARTS[0], replace(PARTS[1], shard="2/3")], "shards of 2 and of 3"),
        ([PARTS[0], replace(PARTS[1], shard="")], "a whole map is among the parts; a part is made with --shard"),
        ([PARTS[0], PAIRS], "not parts of one map: fault map and pair map"),
        ([PAIRS, replace(PAIRS, shard="2/2", seed=1)], "not parts of one map: seed 0 and 1"),
    ],
)
def test_what_is_of_different_maps_is_not_joined(parts: list[Kept], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        joined(parts)


# --- pairs


def paired(shard: str, *rows: PairResult, **more: Any) -> PairMap:
    given: dict[str, Any] = {"controls": 3, "complete": True, "counts": {"all": 9, "left": 2}, "planned": len(rows)}
    return PairMap("late", "task", rows=rows, shard=shard, trials=5, seconds=2.0, **given | more)


FIRST, SECOND = result(PAIR, "once"), result(replace(PAIR, second=PAIR.first), "lost")


def test_pairs_are_joined() -> None:
    whole = joined([paired("2/2", SECOND), paired("1/2", FIRST)])
    assert isinstance(whole, PairMap)
    assert (whole.whole, whole.validity, whole.planned, whole.doubts) == (True, "invalid", 2, ())
    assert (whole.controls, whole.trials, whole.seconds, whole.rows) == (6, 10, 4.0, (SECOND, FIRST))
    assert joined([paired("1/2", FIRST), paired("2/2", complete=False)]).whole is False
    with pytest.raises(ValueError, match=f"2 parts have the cell {PAIR}"):
        joined([paired("1/2", FIRST), paired("2/2", FIRST)])


def test_pairs_that_two_machines_planned_differently_are_in_doubt() -> None:
    whole = joined([paired("1/2", FIRST), paired("2/2")])
    assert isinstance(whole, PairMap)
    assert (whole.doubts, whole.validity) == (("its shards planned other pairs than one machine would",), "unknown")


# --- what a machine tries


@pytest.fixture
def no_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "plan_of", lambda *_: None)


def test_a_campaign_tries_the_cells_of_its_shard(no_plans: None) -> None:
    tried: list[Cell] = []
    for number in (1, 2, 3):
        made = campaign(lambda *_: Finding("once"), shard=Shard.parse(f"{number}/3"))
        made.discovery = Discovery((CELL.point,), {})
        made.planned = made.possible(["standard"])
        made.attempt()
        found = made.map(complete=True)
        assert (found.shard, found.part, found.whole) == (f"{number}/3", False, False)
        tried += [result.cell for result in found.cells]
    assert sorted(tried) == sorted(made.planned)


def test_the_long_trials_are_spread_over_the_shards() -> None:
    made = campaign(lambda *_: Finding("once"))
    points = tuple(replace(CELL.point, ordinal=n) for n in range(1, 9))
    made.planned = tuple(Cell(point, "after", action) for point in points for action in ("cut", "never"))
    for number in (1, 2, 3, 4):
        made.options.shard = Shard.parse(f"{number}/4")
        assert [cell.action for cell in made.own].count("never") == 2


def test_each_kind_of_pair_is_in_one_shard_whichever_member_stands_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def spots(number: int) -> set[str]:
        """The machine has chosen a member of its own for each class."""
        pairs = tuple(Pair(replace(CELL, action=f"cut{number}"), CELL, f"spot {n}", "once") for n in range(20))
        drawn = SimpleNamespace(sample=lambda *_: pairs, checks=lambda *_: {}, counts={"left": 20})
        monkeypatch.setattr(pairs_campaign, "plan", lambda *_: drawn)
        options = Options(shard=Shard.parse(f"{number}/3"))
        made = PairCampaign(campaign(lambda *_: Finding("once")).experiment, options)
        assert made.singles.options.shard is None, "each machine needs all first faults"
        made.choose()
        assert made.drawn == 20
        return {pair.spot for pair in made.chosen}

    shares = [spots(number) for number in (1, 2, 3)]
    assert sorted(spot for share in shares for spot in share) == sorted(f"spot {n}" for n in range(20))
    assert all(shares)
