"""Which second faults to try after which first ones: pure planning, from the traces that single faults left.

A second fault strikes only what exists in the recovery from the first. First faults whose recoveries meet the same
spots, and which end with the same word, make a class, and one of them stands for all.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from brownout.explore.maps.action import Commands, cells, chosen
from brownout.explore.maps.cell import Cell
from brownout.explore.maps.faultmap import column
from brownout.plan.point import Point, Step

#: Second faults, as columns of a map are called.
SECONDS = ("before-cut", "after-cut", "after-never", "before-loading", "after-restart-broker",
           "before-kill", "after-kill")  # fmt: skip
CHECKS = 5  # pairs of a further member of a class that are tried to check the merging, at most


@dataclass(frozen=True)
class First:
    """What a single fault left: its outcome, and what was met from its strike on, in order."""

    cell: Cell
    word: str
    steps: tuple[Step, ...]
    samples: Mapping[Point, Commands] = field(default_factory=dict, hash=False, compare=False)

    def only(self, ordinary: Collection[str]) -> First:
        """Without the spots of a life without a fault."""
        steps = tuple(each for each in self.steps if each.spot not in ordinary)
        return First(self.cell, self.word, steps, self.samples)

    @property
    def spots(self) -> frozenset[str]:
        """All that it met."""
        return frozenset(each.spot for each in self.steps)

    def seconds(self) -> tuple[Cell, ...]:
        """A second fault at each point."""
        points = dict.fromkeys(each.point for each in self.steps)
        made = cells(points, self.samples, chosen({name.partition("-")[2] for name in SECONDS}))
        return tuple(cell for cell in made if f"{cell.moment}-{cell.action}" in SECONDS)

    def pairs(self) -> tuple[Pair, ...]:
        """A second fault at each spot: of a handshake, at the command that tells its purpose, or else at the first."""
        spots = {step.point: step.spot for step in self.steps}
        telling = {step.point for step in self.steps if step.purpose and step.purpose in step.point.label}
        found: dict[tuple[str, str, str], Pair] = {}
        for cell in sorted(self.seconds(), key=lambda cell: cell.point not in telling):
            pair = Pair(self.cell, cell, spots[cell.point], self.word)
            found.setdefault(pair.kind, pair)
        order = {spot: n for n, spot in enumerate(spots.values())}
        return tuple(sorted(found.values(), key=lambda pair: (order[pair.spot], column(pair.second))))


@dataclass(frozen=True)
class Pair:
    """Two faults, one after the other; `alone` is the word of the first one without the second."""

    first: Cell
    second: Cell
    spot: str
    alone: str

    @property
    def kind(self) -> tuple[str, str, str]:
        """What members of one class have in common: the ordinals of a handshake may differ."""
        return self.spot, self.second.moment, self.second.action

    def __str__(self) -> str:
        return f"{self.first}, then {self.second}"


@dataclass(frozen=True)
class Plan:
    """`counts` are the pairs that each step of the pruning leaves; `classes` the merged first faults."""

    counts: Mapping[str, int]
    classes: tuple[tuple[First, ...], ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Those of one member of each class."""
        return tuple(pair for members in self.classes for pair in members[0].pairs())

    def sample(self, count: int, seed: int = 0) -> tuple[Pair, ...]:
        """So many of them, evenly from all classes; all for 0."""
        return _drawn([members[0].pairs() for members in self.classes], count, seed) if count else self.pairs

    def checks(self, tried: Collection[Pair], seed: int = 0, each: int = CHECKS, most: int = 0) -> dict[Pair, Pair]:
        """Pairs of one other member of each class -> what stands for them; `most` of them in all unless it is 0."""
        dice = random.Random(seed)
        found: dict[Pair, Pair] = {}
        for members in self.classes:
            if not members[1:]:
                continue
            other = {pair.kind: pair for pair in dice.choice(members[1:]).pairs()}
            there = [pair for pair in members[0].pairs() if pair in tried and pair.kind in other]
            drawn = sorted(dice.sample(there, min(each, len(there))), key=there.index)
            found |= {other[pair.kind]: pair for pair in drawn}
        if not most or len(found) <= most:
            return found
        groups: dict[str, list[Pair]] = {}
        for pair in found:
            groups.setdefault(str(pair.first), []).append(pair)
        return {pair: found[pair] for pair in _drawn(list(groups.values()), most, seed)}


def plan(firsts: Iterable[First], ordinary: Collection[str]) -> Plan:
    """From single faults; `ordinary` are the spots of a life without one, handshakes that come by a clock included."""
    firsts = tuple(firsts)
    recoveries = [first.only(ordinary) for first in firsts]
    classes: dict[tuple[frozenset[str], str], list[First]] = {}
    for first in recoveries:
        if first.steps:
            classes.setdefault((first.spots, first.word), []).append(first)
    merged = tuple(tuple(members) for members in classes.values())
    counts = {
        "a second fault at every later point": sum(len(first.seconds()) for first in firsts),
        "the handshakes of connections for one purpose as one": sum(len(first.pairs()) for first in firsts),
        "only where the recovery alone leads": sum(len(first.pairs()) for first in recoveries),
        "one first fault for all that recover alike": sum(len(members[0].pairs()) for members in merged),
    }
    return Plan(counts, merged)


def later(cell: Cell, steps: Sequence[Step]) -> tuple[Step, ...]:
    """What was met after its strike: all, when that came before the task did."""
    points = [step.point for step in steps]
    return tuple(steps[points.index(cell.point) + 1 :] if cell.point in points else steps)


def _drawn(groups: Sequence[Sequence[Pair]], count: int, seed: int) -> tuple[Pair, ...]:
    """At most `count`, one of each group in turn; in the order of the groups."""
    dice = random.Random(seed)
    shuffled = [dice.sample(group, len(group)) for group in groups]
    turns = dice.sample(shuffled, len(shuffled))
    drawn = set([each for each in chain(*zip_longest(*turns)) if each][:count])
    return tuple(pair for group in groups for pair in group if pair in drawn)
