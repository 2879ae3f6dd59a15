"""Plans pairs of faults: which second faults to try after which first faults, from the traces of trials with one fault.

A second fault strikes only at points that the recovery from the first fault meets. First faults with the same outcome
whose recoveries meet the same points are a class; one fault of a class is tried for all of them.
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

#: The second faults, named as the columns of a fault map.
SECONDS = ("before-cut", "after-cut", "after-never", "before-loading", "after-restart-broker",
           "before-kill", "after-kill")  # fmt: skip
# the largest number of pairs of another fault of a class that check whether the faults of the class are alike
CHECKS = 5


@dataclass(frozen=True)
class First:
    """The result of a trial with one fault: the outcome, and the steps from the fault on, in order."""

    cell: Cell
    word: str
    steps: tuple[Step, ...]
    samples: Mapping[Point, Commands] = field(default_factory=dict, hash=False, compare=False)

    def only(self, ordinary: Collection[str]) -> First:
        """Return the result without the steps that fault-free trials have too."""
        steps = tuple(step for step in self.steps if step.spot not in ordinary)
        return First(self.cell, self.word, steps, self.samples)

    @property
    def spots(self) -> frozenset[str]:
        """The spots that the trial met."""
        return frozenset(step.spot for step in self.steps)

    def seconds(self) -> tuple[Cell, ...]:
        """Return all second faults that make sense at the points of the steps."""
        points = dict.fromkeys(step.point for step in self.steps)
        made = cells(points, self.samples, chosen({name.partition("-")[2] for name in SECONDS}))
        return tuple(cell for cell in made if f"{cell.moment}-{cell.action}" in SECONDS)

    def pairs(self) -> tuple[Pair, ...]:
        """Return pairs with each kind of second fault at each spot. In a handshake the second fault strikes at the
        command that shows the handshake's purpose, or else at the first command."""
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
    """Two faults, one after the other. `alone` is the outcome of the first fault without the second."""

    first: Cell
    second: Cell
    spot: str
    alone: str

    @property
    def kind(self) -> tuple[str, str, str]:
        """The spot, moment and action of the second fault, which are equal for all faults of a class; the ordinals of a
        handshake may differ."""
        return self.spot, self.second.moment, self.second.action

    def __str__(self) -> str:
        return f"{self.first}, then {self.second}"


@dataclass(frozen=True)
class Plan:
    """The pairs to try. `counts` has the number of pairs after each step of the pruning. `classes` has the first faults
    by class."""

    counts: Mapping[str, int]
    classes: tuple[tuple[First, ...], ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs of one first fault of each class."""
        return tuple(pair for members in self.classes for pair in members[0].pairs())

    def sample(self, count: int, seed: int = 0) -> tuple[Pair, ...]:
        """Return `count` pairs, evenly from all classes; all pairs when `count` is 0."""
        return _drawn([members[0].pairs() for members in self.classes], count, seed) if count else self.pairs

    def checks(
        self, tried: Collection[Pair], seed: int = 0, per_class: int = CHECKS, most: int = 0
    ) -> dict[Pair, Pair]:
        """Return pairs of one other first fault of each class, each with the tried pair that it is compared with. There
        are at most `most` pairs in all, unless `most` is 0."""
        dice = random.Random(seed)
        found: dict[Pair, Pair] = {}
        for members in self.classes:
            if not members[1:]:
                continue
            others = {pair.kind: pair for pair in dice.choice(members[1:]).pairs()}
            there = [pair for pair in members[0].pairs() if pair in tried and pair.kind in others]
            drawn = sorted(dice.sample(there, min(per_class, len(there))), key=there.index)
            found |= {others[pair.kind]: pair for pair in drawn}
        if not most or len(found) <= most:
            return found
        groups: dict[str, list[Pair]] = {}
        for pair in found:
            groups.setdefault(str(pair.first), []).append(pair)
        return {pair: found[pair] for pair in _drawn(list(groups.values()), most, seed)}


def plan(firsts: Iterable[First], ordinary: Collection[str]) -> Plan:
    """Return the plan for these first faults. `ordinary` has the spots of fault-free trials, with the handshakes of
    timers."""
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
    """Return the steps after the point of the cell; all steps when the trace does not have the point."""
    points = [step.point for step in steps]
    return tuple(steps[points.index(cell.point) + 1 :] if cell.point in points else steps)


def _drawn(groups: Sequence[Sequence[Pair]], count: int, seed: int) -> tuple[Pair, ...]:
    """Draw at most `count` pairs, one from each group in turn, and return them in the order of the groups."""
    dice = random.Random(seed)
    shuffled = [dice.sample(group, len(group)) for group in groups]
    turns = dice.sample(shuffled, len(shuffled))
    drawn = set([pair for pair in chain(*zip_longest(*turns)) if pair][:count])
    return tuple(pair for group in groups for pair in group if pair in drawn)
