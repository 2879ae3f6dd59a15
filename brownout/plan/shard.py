"""Equal shares (shards) of the same items, so that each of several machines takes one share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """A selection of shares, in which `numbers` are the numbers of the selected shares, counted from 1, and `of` is the
    number of all shares. A run takes one share; a map that was merged from several runs may hold several shares."""

    numbers: frozenset[int]
    of: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text "2/4" (the second of four shares) or "1,3/4" (the first and the third). Raises ValueError for
        any other text, and for the number of a share that does not exist."""
        found = re.fullmatch(r"(\d+(?:,\d+)*)/(\d+)", text)
        shard = cls(frozenset(map(int, found[1].split(","))), int(found[2])) if found else None
        if shard is None or not all(1 <= number <= shard.of for number in shard.numbers):
            raise ValueError(f"a shard is N/M with N from 1 to M, such as 2/4, not {text!r}")
        return shard

    def __str__(self) -> str:
        return f"{','.join(map(str, sorted(self.numbers)))}/{self.of}"

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the shares that are not in this selection."""
        return tuple(number for number in range(1, self.of + 1) if number not in self.numbers)

    def share(self, items: Sequence[T], name: Callable[[T], str]) -> tuple[T, ...]:
        """The items of this shard, in their order. The sizes of two shards differ by at most one.

        The shard of an item depends on the names of all items, and not on their order; each item is in exactly one
        shard. Items whose names are neighbours in the alphabet are in different shards, because such items often cost
        alike.
        """
        ranked = sorted(range(len(items)), key=lambda place: (name(items[place]), place))
        own = {place for rank, place in enumerate(ranked) if rank % self.of + 1 in self.numbers}
        return tuple(item for place, item in enumerate(items) if place in own)

    def has(self, name: str) -> bool:
        """Whether an item belongs to this shard by the item's name alone, whatever other items there are.

        Shards that the method `has` chooses have equal sizes only on average.
        """
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.of + 1 in self.numbers


def united(shards: Collection[Shard]) -> Shard:
    """Return one selection that has all shares of these selections. Raises ValueError when the selections differ in the
    number of all shares, and for a share that is in two of them."""
    if len(divisions := sorted({shard.of for shard in shards})) != 1:
        raise ValueError(f"shards of {' and of '.join(map(str, divisions))}")
    numbers = [number for shard in shards for number in sorted(shard.numbers)]
    if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
        raise ValueError(f"shard {_listed(twice)} of {divisions[0]} is there twice")
    return Shard(frozenset(numbers), divisions[0])


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))
