"""The fault map as data: what became of the task in each cell, and what vouches for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Final

from brownout.check.verdict import Validity, merge
from brownout.check.words import SEVERITY, parts
from brownout.explore.maps.action import ACTIONS
from brownout.explore.maps.cell import Cell, names
from brownout.explore.maps.cell_result import CellResult, Comparison, Controls, cell_record, cell_result
from brownout.explore.maps.kept import Kept
from brownout.explore.maps.selection import select
from brownout.plan.near import known
from brownout.plan.point import MOMENTS, Point

#: What a command that made or read a map exits with.
EXIT: Final[Mapping[Validity, int]] = {"valid": 0, "invalid": 1, "unknown": 2}


def column(cell: Cell) -> tuple[int, int, str]:
    """Sorts columns: those before the execution, then those after it, each in the order of ACTIONS."""
    actions = tuple(ACTIONS)
    rank = actions.index(cell.action) if cell.action in ACTIONS else len(actions)
    return MOMENTS.index(cell.moment), rank, cell.action


@dataclass(frozen=True)
class FaultMap(Kept):
    """Every fault point of a workload under a configuration (`name`), by every fault.

    `options` are what `brownout map` was given for it, its cells aside. `trace` are the points in order of life.
    `bounds` and `seconds` (how long the map took) are in seconds; `versions` by distribution. `repeats` counts trials
    of any kind that were run again because the machine was busy. `complete` says that nothing interrupted the map,
    `part` that not all standard cells were asked for. Cells are kept in the trace's order, then by column; ValueError
    when one is there twice.
    """

    KIND: ClassVar = "fault map"
    SCHEMA: ClassVar = 2
    _LAST: ClassVar = "cells"

    name: str
    workload: str
    options: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)
    trace: tuple[Point, ...] = ()
    cells: tuple[CellResult, ...] = ()
    controls: Controls = field(default_factory=Controls)
    cold: tuple[Comparison, ...] = ()
    seconds: float = 0.0
    repeats: int = 0
    complete: bool = False
    part: bool = False

    def __post_init__(self) -> None:
        place = {point: n for n, point in enumerate(self.trace)}
        keys = {c: (place.get(c.point, len(place)), c.point, column(c)) for c in (each.cell for each in self.cells)}
        if len(keys) < len(self.cells):
            twice = Counter(each.cell.full for each in self.cells).most_common(1)[0][0]
            raise ValueError(f"a map has each cell once: {twice}")
        object.__setattr__(self, "cells", tuple(sorted(self.cells, key=lambda each: keys[each.cell])))

    @property
    def title(self) -> str:
        """`defaults/task`: how a baseline names it."""
        return f"{self.name}/{self.workload}"

    @property
    def names(self) -> dict[Cell, str]:
        """What each cell is called: `worker->broker/ZADD#1/before-cut`, or with the whole label where two would be."""
        points = names((*self.trace, *(each.cell.point for each in self.cells)))
        return {c: f"{points[c.point]}/{c.moment}-{c.action}" for c in (each.cell for each in self.cells)}

    def result(self, name: str) -> CellResult:
        """The cell of that name, short or full; UnknownName with near matches."""
        called = self.names
        by_name = {name: each for each in self.cells for name in (each.cell.full, called[each.cell])}
        return by_name[name] if name in by_name else by_name[known("cell", name, called.values())]

    def filtered(self, points: Collection[str] = (), actions: Collection[str] = (), only_bad: bool = False) -> FaultMap:
        """The map with fewer cells, as `select` says; `only_bad` leaves those that are not valid.

        Judge the whole map, not this one: without its good cells it knows less.
        """
        chosen = set(select([each.cell for each in self.cells], points, actions))
        kept = [each for each in self.cells if each.cell in chosen and not (only_bad and each.verdict == "valid")]
        return replace(self, cells=tuple(kept), part=self.part or len(kept) < len(self.cells))

    @property
    def void(self) -> tuple[str, ...]:
        """Why the map proves nothing, whatever its cells say."""
        differing = (
            f"{each.cell} differs between forked ({', '.join(each.forked)}) and cold ({', '.join(each.cold)}) processes"
            for each in self.cold
            if each.differs
        )
        return (*(f"a trial without a fault went wrong: {bad}" for bad in self.controls.bad), *differing)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the map cannot be valid, though what is bad in it remains bad."""
        doubts = {
            "no cell was tried": not self.cells,
            "it was interrupted": not self.complete,
            "no trial without a fault was among them": not self.controls.ran,
            "cells without a verdict": self.tally["unknown"] > 0,
            "forked processes were not compared with cold ones": not all(each.proves for each in self.cold),
        }
        return tuple(doubt for doubt, holds in doubts.items() if holds)

    @property
    def validity(self) -> Validity:
        """Unknown when the map is void; else invalid by any bad cell; else unknown by any doubt."""
        if self.void:
            return "unknown"
        return merge((*(each.verdict for each in self.cells), "unknown" if self.doubts else "valid"))

    @property
    def tally(self) -> dict[Validity, int]:
        """How many cells are valid, invalid, unknown."""
        verdicts = Counter(each.verdict for each in self.cells)
        return {validity: verdicts[validity] for validity in EXIT}

    def counts(self) -> dict[str, int]:
        """In how many cells each outcome and each flag was seen, the worst last; a race counts in all of its own."""
        found = Counter(part for each in self.cells for part in {part for word in each.seen for part in parts(word)})
        return {part: found[part] for part in SEVERITY if found[part]}

    @property
    def trials(self) -> int:
        """All that were run: cells, controls, cold comparisons."""
        cells = sum(n for each in self.cells for n in each.seen.values())
        return cells + self.controls.ran + sum(len(each.cold) for each in self.cold)

    @property
    def rate(self) -> float:
        """Trials a minute."""
        return self.trials * 60 / self.seconds if self.seconds > 0 else 0.0

    def merged(self, *others: FaultMap) -> FaultMap:
        """Several runs of one map as one; ValueError when they are runs of different ones."""
        whole = self
        for other in others:
            for what in ("title", "settings", "versions"):
                if getattr(whole, what) != getattr(other, what):
                    raise ValueError(f"not runs of one map: {what} {getattr(whole, what)} and {getattr(other, what)}")
            cells = {each.cell: each for each in whole.cells}
            for each in other.cells:
                cells[each.cell] = cells[each.cell].merged(each) if each.cell in cells else each
            whole = replace(
                whole,
                cells=tuple(cells.values()),
                trace=tuple(dict.fromkeys((*whole.trace, *other.trace))),
                bounds={**whole.bounds, **other.bounds},
                controls=Controls(whole.controls.ran + other.controls.ran, whole.controls.bad + other.controls.bad),
                cold=whole.cold + other.cold,
                seconds=whole.seconds + other.seconds,
                repeats=whole.repeats + other.repeats,
                complete=whole.complete and other.complete,
            )
        return whole

    def _record(self) -> dict[str, Any]:
        return {
            "settings": dict(sorted(self.settings.items())),
            "versions": dict(sorted(self.versions.items())),
            "bounds": dict(sorted(self.bounds.items())),
            "trace": [point.full for point in self.trace],
            "controls": asdict(self.controls),
            "cold": [asdict(each) for each in self.cold],
            "cells": [cell_record(each) for each in self.cells],
        }

    @classmethod
    def _made(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "options": tuple(given.get("options", ())),
            "trace": tuple(map(Point.parse, given["trace"])),
            "cells": tuple(map(cell_result, given["cells"])),
            "controls": Controls(given["controls"]["ran"], tuple(given["controls"]["bad"])),
            "cold": tuple(
                Comparison(each["cell"], tuple(each["forked"]), tuple(each["cold"])) for each in given["cold"]
            ),
        }
