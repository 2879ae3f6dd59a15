"""Plans pairs of faults: which second faults to try after which first faults, from the traces of trials with one fault.

A second fault is tried only at points (Redis requests and replies) that the recovery from the first fault passes. First
faults are in one class when they have the same outcome and their recoveries meet the same fault points. Pairs are tried
with only one first fault of a class.
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

#: The names of the second faults, written like the columns of a fault map.
SECONDS = ("before-cut", "after-cut", "after-never", "before-loading", "after-restart-broker",
           "before-kill", "after-kill")  # fmt: skip
# the largest number of pairs that check whether the faults of one class behave alike
CHECKS = 5


@dataclass(frozen=True)
class First:
    """The result of a trial with one fault: the outcome, and the steps (points that passed) from the fault on, in
    order."""

    cell: Cell
    word: str
    steps: tuple[Step, ...]
    samples: Mapping[Point, Commands] = field(default_factory=dict, hash=False, compare=False)

    def only(self, ordinary: Collection[str]) -> First:
        """Return the result without the steps that trials without a fault also have."""
        steps = tuple(step for step in self.steps if step.spot not in ordinary)
        return First(self.cell, self.word, steps, self.samples)

    @property
    def spots(self) -> frozenset[str]:
        """The commands (or purposes of handshakes) that the trial met."""
        return frozenset(step.spot for step in self.steps)

    def seconds(self) -> tuple[Cell, ...]:
        """Return all second faults that make sense at the fault points that these steps of a trial met."""
        points = dict.fromkeys(step.point for step in self.steps)
        made = cells(points, self.samples, chosen({name.partition("-")[2] for name in SECONDS}))
        return tuple(cell for cell in made if f"{cell.moment}-{cell.action}" in SECONDS)

    def pairs(self) -> tuple[Pair, ...]:
        """Return pairs with each kind of second fault, for each command that the recovery sends. In the handshake of a
        connection the second fault strikes at the command that shows what the connection is for, or else at the first
        command."""
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
    """Two faults, one after the other. `alone` is the outcome of a trial that had only the first fault."""

    first: Cell
    second: Cell
    spot: str
    alone: str

    @property
    def kind(self) -> tuple[str, str, str]:
        """Where and when the second fault strikes, and how: this is the same for all faults of a class, although the
        ordinals of a handshake's commands may differ."""
        return self.spot, self.second.moment, self.second.action

    def __str__(self) -> str:
        return f"{self.first}, then {self.second}"


@dataclass(frozen=True)
class Plan:
    """The plan of a pair map: which pairs of faults to try. `counts` has the number of pairs that remain after each
    step that leaves out pairs. `classes` maps each class to its first faults."""

    counts: Mapping[str, int]
    classes: tuple[tuple[First, ...], ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs to try. From each class of first faults that behave alike, one fault is tried."""
        return tuple(pair for members in self.classes for pair in members[0].pairs())

    def sample(self, count: int, seed: int = 0) -> tuple[Pair, ...]:
        """Return `count` pairs, about equally many from each class; if `count` is 0, all pairs."""
        return _drawn([members[0].pairs() for members in self.classes], count, seed) if count else self.pairs

    def checks(
        self, tried: Collection[Pair], seed: int = 0, per_class: int = CHECKS, most: int = 0
    ) -> dict[Pair, Pair]:
        """Return pairs in which the first fault is another fault of the same class, each with the planned pair that it
        is compared with. The result has at most `most` pairs; if `most` is 0, there is no limit."""
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
    """Return the plan for these first faults. `ordinary` has the commands that trials without a fault send, and the
    handshakes of connections that timers open."""
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
    """Return the steps after the fault point of the cell; all steps when the trace does not have the point."""
    points = [step.point for step in steps]
    return tuple(steps[points.index(cell.point) + 1 :] if cell.point in points else steps)


def _drawn(groups: Sequence[Sequence[Pair]], count: int, seed: int) -> tuple[Pair, ...]:
    """Choose at most `count` pairs at random, one from each group in turn, and return the pairs in the order of the
    groups."""
    dice = random.Random(seed)
    shuffled = [dice.sample(group, len(group)) for group in groups]
    turns = dice.sample(shuffled, len(shuffled))
    drawn = set([pair for pair in chain(*zip_longest(*turns)) if pair][:count])
    return tuple(pair for group in groups for pair in group if pair in drawn)
