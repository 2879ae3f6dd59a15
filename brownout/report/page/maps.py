"""The pages of a fault map, and of two maps side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from brownout.check.words import FLAGS, SEVERITY, severity, validity_of
from brownout.explore.maps import diff as difference
from brownout.explore.maps.action import ACTIONS
from brownout.explore.maps.baseline import Accepted
from brownout.explore.maps.cell import Cell, names
from brownout.explore.maps.cell_result import CellResult
from brownout.explore.maps.faultmap import FaultMap
from brownout.plan.point import MOMENTS
from brownout.report.maps import grid
from brownout.report.page.render import render

Again = Callable[[FaultMap, str], str]  # the command that tries a cell of a map again
_WITNESS = re.compile(r"([+-][\d.]+) s\s+(\S+)\s+(.*)", re.DOTALL)  # as explore/witness.py writes a line


class Step(NamedTuple):
    """A line of a cell's witness: seconds since the fault, who saw it, what happened; `x` is its place in percent."""

    at: str
    source: str
    text: str
    x: float | None


@dataclass(frozen=True)
class Square:
    """A cell as the page shows it. `look` is the CSS class of its outcome; `id` is unique on the page."""

    id: str
    name: str
    sign: str
    look: str
    result: CellResult
    sentences: tuple[str, ...]
    steps: tuple[Step, ...]
    fault: str
    again: str
    mechanism: Accepted | None = None
    explained: str = ""  # the section of the page that the mechanism links to
    change: str = ""  # of two maps: "worse", "better", "changed", ...


@dataclass(frozen=True)
class Table:
    """A map's grid: columns by moment, rows by edge. `id` tells two maps of one page apart."""

    map: FaultMap
    id: str
    moments: tuple[tuple[str, tuple[str, ...]], ...]  # a moment and the headings of its columns
    edges: tuple[tuple[str, tuple[tuple[str, tuple[Square | None, ...]], ...]], ...]
    legend: tuple[tuple[str, int, str, str], ...]  # sign, number of cells, meaning, look
    facts: tuple[str, ...] = field(default=())

    @property
    def squares(self) -> list[Square]:
        """All cells, the worst first."""
        found = [square for _, rows in self.edges for _, row in rows for square in row if square]
        return sorted(found, key=lambda square: severity(square.result.worst), reverse=True)


def page(map_: FaultMap, again: Again, accepted: Sequence[Accepted] = ()) -> str:
    """The page of one map; `accepted` are the entries of a baseline, which name the mechanisms of bad cells."""
    return render("map.html", table=_table(map_, "a", again, accepted), sentence=_sentence(map_))


def beside(a: FaultMap, b: FaultMap, again: Again) -> str:
    """The page of two maps side by side, with what differs between them marked."""
    found = difference.diff(a, b)
    changed = {change.cell: kind for kind in difference.KINDS for change in getattr(found, kind)}
    tables = [_table(map_, side, again, (), changed) for map_, side in ((a, "a"), (b, "b"))]
    cells = [{square.result.cell: square for square in table.squares} for table in tables]
    changes = [
        (kind, meaning, [(change, *(squares.get(change.cell) for squares in cells)) for change in getattr(found, kind)])
        for kind, meaning in difference.KINDS.items()
    ]
    return render("diff.html", tables=tables, found=found, changes=[group for group in changes if group[2]])


def _sentence(map_: FaultMap) -> str:
    bad = map_.tally["invalid"]
    worst = max((result.worst for result in map_.cells if result.verdict == "invalid"), key=severity, default="")
    said = f"{bad} of {len(map_.cells)} cells are bad" if bad else f"none of {len(map_.cells)} cells is bad"
    return f"{map_.title}: {said}{f'; the worst is {worst}' if worst else ''}"


def _table(
    map_: FaultMap, id_: str, again: Again, accepted: Sequence[Accepted], changed: Mapping[Cell, str] | None = None
) -> Table:
    rows, called = grid.rows_of(map_), map_.names
    widths = grid.widths_of(rows)
    known = {entry.cell: entry for entry in accepted if entry.map == map_.title}
    sections = {link: section(link) for link in {entry.link for entry in known.values()}}
    numbers = {result.cell: n for n, result in enumerate(map_.cells, 1)}

    def square(result: CellResult) -> Square:
        name = called[result.cell]
        entry = known.get(name) or known.get(result.cell.full)
        action = ACTIONS.get(result.cell.action)
        what = action.summary if action else result.cell.action
        return Square(
            f"{id_}{numbers[result.cell]}",
            name,
            grid.sign(result),
            look(result.worst),
            result,
            tuple(grid.sentence(word) for word in result.words or ("unknown",)),
            steps(result.witness),
            f"{what}, {result.cell.moment} the server executed the command",
            again(map_, name),
            entry,
            sections.get(entry.link, "") if entry else "",
            (changed or {}).get(result.cell, ""),
        )

    points = names((*map_.trace, *(result.cell.point for result in map_.cells)))
    edges = tuple(
        (edge, tuple((points[point].removeprefix(f"{edge}/"),
                      tuple(square(results[key]) if key in results else None for key in widths))
                     for point, results in group))
        for edge, group in groupby(rows, key=lambda row: row[0].edge)
    )  # fmt: skip
    moments = tuple(
        (MOMENTS[moment], tuple(grid.HEADINGS.get(action, action) for *_, action in group))
        for moment, group in groupby(widths, key=lambda key: key[0])
    )
    legend = tuple((*line, _look_of(line[0])) for line in grid.legend(map_))
    return Table(map_, id_, moments, edges, legend, tuple(grid.facts(map_)))


def look(word: str) -> str:
    """The CSS class of an outcome: once, good, unknown, bad or severe."""
    validity = validity_of(word)
    if validity == "invalid":
        return "severe" if severity(word)[0] >= SEVERITY.index("duplicate-later") else "bad"
    return "unknown" if validity == "unknown" else "once" if word == "once" else "good"


def _look_of(sign: str) -> str:
    """The class of the outcome or flag that has this sign; "" where the sign is of neither."""
    word = next((word for word, known in grid.SIGNS.items() if known == sign), "")
    return look(f"once+{word}" if word in FLAGS else word) if word else ""


def steps(witness: Sequence[str]) -> tuple[Step, ...]:
    """The lines of a cell's witness, each with its place on a line of time."""
    found = [(line, _WITNESS.fullmatch(line)) for line in witness]
    times = [float(match[1]) for _, match in found if match]
    first, span = min(times, default=0.0), (max(times, default=0.0) - min(times, default=0.0)) or 1.0
    return tuple(
        Step(f"{match[1]} s", match[2], match[3], round((float(match[1]) - first) / span * 96 + 2, 1))
        if match
        else Step("", "", line, None)
        for line, match in found
    )


def section(link: str) -> str:
    """The text of the Markdown section that a baseline's link leads to; "" for a link to elsewhere."""
    file, _, anchor = link.partition("#")
    if "://" in link or not anchor or not Path(file).is_file():
        return ""
    for part in re.split(r"^## ", Path(file).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        if re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") == anchor:
            return text.strip()
    return ""
