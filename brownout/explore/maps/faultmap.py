"""Fault maps as data: the outcomes of each cell, and the control trials that show that the outcomes can be trusted."""

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

#: The exit code of a command that made or read a fault map, by the map's validity.
EXIT: Final[Mapping[Validity, int]] = {"valid": 0, "invalid": 1, "unknown": 2}


def column(cell: Cell) -> tuple[int, int, str]:
    """Return the sort key of a cell's column: columns for the moment "before" come first, then those for "after", and
    within each moment the order of ACTIONS."""
    actions = tuple(ACTIONS)
    rank = actions.index(cell.action) if cell.action in ACTIONS else len(actions)
    return MOMENTS.index(cell.moment), rank, cell.action


@dataclass(frozen=True)
class FaultMap(Kept):
    """The results of a fault map, for every fault at every fault point of a workload, under the configuration `name`.

    `options` are the options of `brownout map` except those that choose cells. `trace` has the points in the order of a
    fault-free trial. `bounds` and `seconds` (the time for the whole map) are in seconds. `versions` maps Python
    distributions to versions. `repeats` counts all trials that were run again because the machine was busy. If
    `complete` is true, nothing interrupted the making of the map. If `part` is true, the command did not ask for all
    standard cells. If `shard` is "2/4", this is the second of four parts of the map; the other parts have the other
    cells. Cells are in the order of the trace, then of the columns. Raises ValueError when a map has a cell twice.
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
    shard: str = ""

    def __post_init__(self) -> None:
        place = {point: n for n, point in enumerate(self.trace)}
        keys = {c: (place.get(c.point, len(place)), c.point, column(c)) for c in (result.cell for result in self.cells)}
        if len(keys) < len(self.cells):
            twice = Counter(result.cell.full for result in self.cells).most_common(1)[0][0]
            raise ValueError(f"a map has each cell once: {twice}")
        object.__setattr__(self, "cells", tuple(sorted(self.cells, key=lambda result: keys[result.cell])))

    @property
    def title(self) -> str:
        """The map's title, "configuration/workload", by which a baseline names the map."""
        return f"{self.name}/{self.workload}"

    @property
    def names(self) -> dict[Cell, str]:
        """The name of each cell, such as `worker->broker/ZADD#1/before-cut`, or the full name when two fault points
        would have the same short name."""
        points = names((*self.trace, *(result.cell.point for result in self.cells)))
        return {c: f"{points[c.point]}/{c.moment}-{c.action}" for c in (result.cell for result in self.cells)}

    def result(self, name: str) -> CellResult:
        """Return the result of the cell that has this short or full name. Raises UnknownName, with similar names, when
        no cell has the name."""
        called = self.names
        by_name = {name: result for result in self.cells for name in (result.cell.full, called[result.cell])}
        return by_name[name] if name in by_name else by_name[known("cell", name, called.values())]

    def filtered(self, points: Collection[str] = (), actions: Collection[str] = (), only_bad: bool = False) -> FaultMap:
        """Return a map that has only the cells that `select` chooses; with `only_bad`, cells whose verdict is valid are
        left out, too.

        The validity of a filtered map tells nothing, because cells are missing.
        """
        chosen = set(select([result.cell for result in self.cells], points, actions))
        kept = [
            result for result in self.cells if result.cell in chosen and not (only_bad and result.verdict == "valid")
        ]
        return replace(self, cells=tuple(kept), part=self.part or len(kept) < len(self.cells))

    @property
    def void(self) -> tuple[str, ...]:
        """The reasons why the outcomes of all the map's cells prove nothing."""
        differing = (
            f"{comparison.cell} differs between forked ({', '.join(comparison.forked)})"
            f" and cold ({', '.join(comparison.cold)}) processes"
            for comparison in self.cold
            if comparison.differs
        )
        return (*(f"a trial without a fault went wrong: {bad}" for bad in self.controls.bad), *differing)

    @property
    def doubts(self) -> tuple[str, ...]:
        """The reasons why the verdict on the map cannot be "valid". A bad cell still makes the map invalid."""
        doubts = {
            "no cell was tried": not self.cells,
            "the map was interrupted": not self.complete,
            "no trial ran without a fault": not self.controls.ran,
            "some cells have no verdict": self.tally["unknown"] > 0,
            "forked processes were not compared with cold ones": not all(comparison.proves for comparison in self.cold),
        }
        return tuple(doubt for doubt, holds in doubts.items() if holds)

    @property
    def validity(self) -> Validity:
        """The verdict on the map: "unknown" when the map is void; else "invalid" when any cell is bad; else "unknown"
        when there is any doubt."""
        if self.void:
            return "unknown"
        return merge((*(result.verdict for result in self.cells), "unknown" if self.doubts else "valid"))

    @property
    def tally(self) -> dict[Validity, int]:
        """The numbers of valid, invalid and unknown cells."""
        verdicts = Counter(result.verdict for result in self.cells)
        return {validity: verdicts[validity] for validity in EXIT}

    def counts(self) -> dict[str, int]:
        """Return the number of cells in which each outcome and each flag was seen; the worst outcome comes last. A cell
        with several outcomes is counted once for each outcome."""
        found = Counter(
            part for result in self.cells for part in {part for word in result.seen for part in parts(word)}
        )
        return {part: found[part] for part in SEVERITY if found[part]}

    @property
    def trials(self) -> int:
        """The number of trials for cells, for controls, and for comparisons with workers that are not forked."""
        cells = sum(n for result in self.cells for n in result.seen.values())
        return cells + self.controls.ran + sum(len(comparison.cold) for comparison in self.cold)

    @property
    def rate(self) -> float:
        """The number of trials per minute."""
        return self.trials * 60 / self.seconds if self.seconds > 0 else 0.0

    def merged(self, *others: FaultMap) -> FaultMap:
        """Return one map that has the outcomes of several runs. Raises ValueError when the runs are not runs of the
        same map."""
        whole = self
        for other in others:
            for what in ("title", "settings", "versions"):
                if getattr(whole, what) != getattr(other, what):
                    raise ValueError(f"not runs of one map: {what} {getattr(whole, what)} and {getattr(other, what)}")
            cells = {result.cell: result for result in whole.cells}
            for result in other.cells:
                cells[result.cell] = cells[result.cell].merged(result) if result.cell in cells else result
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
            "cold": [asdict(comparison) for comparison in self.cold],
            "cells": [cell_record(result) for result in self.cells],
        }

    @classmethod
    def _made(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "options": tuple(record.get("options", ())),
            "trace": tuple(map(Point.parse, record["trace"])),
            "cells": tuple(map(cell_result, record["cells"])),
            "controls": Controls(record["controls"]["ran"], tuple(record["controls"]["bad"])),
            "cold": tuple(
                Comparison(comparison["cell"], tuple(comparison["forked"]), tuple(comparison["cold"]))
                for comparison in record["cold"]
            ),
        }
