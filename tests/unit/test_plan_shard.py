"""Shares of items for several machines: each item is in exactly one of them, whatever their number."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brownout.plan.shard import Shard, united

NAMES = st.lists(st.text(max_size=8), max_size=60)
COUNTS = st.integers(1, 12)


def shares(names: list[str], of: int) -> list[tuple[int, ...]]:
    """The places that each shard takes of the names."""
    places = range(len(names))
    return [Shard.parse(f"{n}/{of}").share(places, lambda place: names[place]) for n in range(1, of + 1)]


@given(NAMES, COUNTS)
def test_every_item_is_in_exactly_one_shard(names: list[str], of: int) -> None:
    assert sorted(place for share in shares(names, of) for place in share) == list(range(len(names)))


@given(NAMES, COUNTS)
def test_shards_are_equal_but_for_one_item(names: list[str], of: int) -> None:
    sizes = [len(share) for share in shares(names, of)]
    assert max(sizes) - min(sizes) <= 1


@given(st.lists(st.text(max_size=8), max_size=60, unique=True), COUNTS, st.randoms())
def test_the_order_of_the_items_is_kept_and_decides_nothing(names: list[str], of: int, dice: random.Random) -> None:
    shuffled = dice.sample(names, len(names))
    for n in range(1, of + 1):
        shard = Shard.parse(f"{n}/{of}")
        share = shard.share(names, str)
        assert set(share) == set(shard.share(shuffled, str))
        assert list(share) == [name for name in names if name in share]


def test_neighbours_are_in_different_shards() -> None:
    """Variants of one test often cost alike, and so do cells of one action."""
    names = [f"test_a[{n}]" for n in range(4)] + [f"test_b[{n}]" for n in range(4)]
    for share in shares(names, 4):
        assert sorted(names[place][5] for place in share) == ["a", "b"]


@given(st.text(max_size=8), COUNTS)
def test_an_item_has_one_shard_by_its_name_alone(name: str, of: int) -> None:
    assert [Shard.parse(f"{n}/{of}").has(name) for n in range(1, of + 1)].count(True) == 1


def test_shards_by_name_alone_are_equal_on_average() -> None:
    sizes = [sum(Shard.parse(f"{n}/4").has(f"spot {name}") for name in range(4_000)) for n in range(1, 5)]
    assert sum(sizes) == 4_000
    assert max(sizes) < 1.15 * 1_000


@pytest.mark.parametrize("text", ["2/4", "1/1", "1,3/4"])
def test_a_shard_is_written_as_it_is_read(text: str) -> None:
    assert str(Shard.parse(text)) == text


@pytest.mark.parametrize("text", ["", "2", "0/4", "5/4", "1/0", "-1/4", "2/4/6", "1,/4", "a/b", "1,5/4"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a shard is N/M with N from 1 to M, such as 2/4, not '"):
        Shard.parse(text)


def test_shards_are_united() -> None:
    def of(*texts: str) -> Shard:
        return united([Shard.parse(text) for text in texts])

    assert of("1/2", "2/2").missing == ()
    assert str(of("3/4", "1/4")) == "1,3/4"
    assert of("3/4", "1/4").missing == (2, 4)
    assert of("1,3/4", "2/4").missing == (4,)
    with pytest.raises(ValueError, match="shards of 2 and of 4"):
        of("1/2", "1/4")
    with pytest.raises(ValueError, match="shard 1, 2 of 4 is there twice"):
        of("1/4", "2/4", "1,2/4")
