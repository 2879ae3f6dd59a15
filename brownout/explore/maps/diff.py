"""Compares fault maps: the cells that another configuration or version makes better or worse, and whether several runs
agree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from brownout.check.words import severity, validity_of
from brownout.explore.maps.cell import Cell, names
from brownout.explore.maps.cell_result import CellResult
from brownout.explore.maps.faultmap import FaultMap
from brownout.plan.point import Point


@dataclass(frozen=True)
class Change:
    """A cell whose outcomes differ between two maps."""

    cell: Cell
    was: tuple[str, ...]
    now: tuple[str, ...]

    @property
    def step(self) -> int:
        """The direction of the change: 1 when the worst outcome in the second map is worse than in the first map, -1
        when it is less bad, else 0."""
        was, now = (max(map(severity, words), default=()) for words in (self.was, self.now))
        return (now > was) - (now < was)


@dataclass(frozen=True)
class Diff:
    """The differences from map `a` to map `b`; reports name the two maps by their titles. Only the outcomes are
    compared, not how often each was seen.

    Cells in `worse` went from good to bad, in `better` from bad to good, in `changed` from one bad outcome to another,
    in `shifted` from one good outcome to another. Cells in `unknown` have no verdict in at least one of the two maps.
    `warnings` has sentences that say why a map cannot be trusted.
    """

    a: str
    b: str
    worse: tuple[Change, ...] = ()
    better: tuple[Change, ...] = ()
    changed: tuple[Change, ...] = ()
    shifted: tuple[Change, ...] = ()
    unknown: tuple[Change, ...] = ()
    only_a: tuple[CellResult, ...] = ()
    only_b: tuple[CellResult, ...] = ()
    same: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether the two maps have the same cells, and each cell has the same outcomes in both maps."""
        return not any((*(getattr(self, kind) for kind in KINDS), self.only_a, self.only_b))

    def to_json(self) -> str:
        """Return the differences as JSON: each changed cell with its full name and its outcomes in both maps."""
        record: dict[str, Any] = {attribute.name: getattr(self, attribute.name) for attribute in fields(self)}
        for kind in KINDS:
            record[kind] = [{"cell": change.cell.full, "was": change.was, "now": change.now} for change in record[kind]]
        for side in ("only_a", "only_b"):
            record[side] = [{"cell": result.cell.full, "seen": result.words} for result in record[side]]
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


#: The ways in which a cell may differ between two maps, and what each way means; each way is a field of Diff.
KINDS = {
    "worse": "was good, is bad",
    "better": "was bad, is good",
    "changed": "bad in both, but not the same",
    "shifted": "good in both, but not the same",
    "unknown": "no verdict in one map",
}
_OF_VERDICTS = {
    ("valid", "invalid"): "worse",
    ("invalid", "valid"): "better",
    ("invalid", "invalid"): "changed",
    ("valid", "valid"): "shifted",
}


def diff(a: FaultMap, b: FaultMap) -> Diff:
    """Return the differences from map `a` to map `b`; the worst cells come first."""
    left, right = ({result.cell: result for result in map_.cells} for map_ in (a, b))
    found: dict[str, list[Change]] = {kind: [] for kind in KINDS}
    both = [cell for cell in left if cell in right]
    for cell in both:
        before, after = left[cell], right[cell]
        if set(before.words) != set(after.words):
            found[_OF_VERDICTS.get((before.verdict, after.verdict), "unknown")].append(
                Change(cell, before.words, after.words)
            )
    changes = {kind: tuple(sorted(changes, key=_severest, reverse=True)) for kind, changes in found.items()}
    return Diff(
        _called(a, b),
        _called(b, a),
        **changes,
        only_a=tuple(result for result in a.cells if result.cell not in right),
        only_b=tuple(result for result in b.cells if result.cell not in left),
        same=len(both) - sum(map(len, changes.values())),
        warnings=tuple(f"{m.title}: {why}" for m in (a, b) for why in (*m.void, *m.doubts)),
    )


def _severest(change: Change) -> tuple[int, ...]:
    return max((severity(word) for word in (*change.was, *change.now)), default=())


def _called(first: FaultMap, second: FaultMap) -> str:
    """Return the title of the first map, as the comparison names this map. If both maps have the same title, the text
    also has the versions in which the first map differs from the second."""
    versions = [f"{name} {first.versions.get(name, 'none')}" for name in sorted({*first.versions, *second.versions})
                if first.versions.get(name) != second.versions.get(name)]  # fmt: skip
    return f"{first.title} ({', '.join(versions)})" if first.title == second.title and versions else first.title


def text(difference: Diff) -> str:
    """Return the differences as text that a person can read. The cells that got worse come first; within each group of
    cells the worst come first."""
    return "\n".join(_text(difference))


def _text(difference: Diff) -> Iterator[str]:
    yield f"{difference.a} → {difference.b}"
    yield from (f"  beware: {warning}" for warning in difference.warnings)
    changes = {kind: getattr(difference, kind) for kind in KINDS}
    alone = {"only in " + difference.a: difference.only_a, "only in " + difference.b: difference.only_b}
    cells = [entry.cell for group in (*changes.values(), *alone.values()) for entry in group]
    called = names(sorted({cell.point for cell in cells}))
    for kind, group in changes.items():
        if group:
            yield from ("", f"{kind}: {len(group)} ({KINDS[kind]})")
            known_as = [f"{called[change.cell.point]}/{change.cell.moment}-{change.cell.action}" for change in group]
            for name, change in zip(known_as, group, strict=True):
                step = {1: "  (worse)", -1: "  (less bad)", 0: ""}[change.step] if kind == "changed" else ""
                words = f"{' or '.join(change.was)} → {' or '.join(change.now)}"
                yield f"  {name:<{max(map(len, known_as))}}  {words}{step}"
    for title, results in alone.items():
        if results:
            yield from ("", f"{title}: {len(results)}, of them bad: {sum(r.verdict == 'invalid' for r in results)}")
            yield from _by_point(results, called)
    yield from ("", f"the same: {difference.same}")


def _by_point(results: Sequence[CellResult], called: dict[Point, str]) -> Iterator[str]:
    rows: dict[str, list[str]] = {}
    for result in results:
        words = "" if result.verdict == "valid" else f" ({' or '.join(result.words)})"
        rows.setdefault(called[result.cell.point], []).append(f"{result.cell.moment}-{result.cell.action}{words}")
    yield from (f"  {point}: {', '.join(columns)}" for point, columns in rows.items())


REPRODUCED = 0.9  # a bad cell counts as reproduced when at least this share of its trials is bad


@dataclass(frozen=True)
class Agreement:
    """How well several runs of one map agree. `cells` is the number of all cells, `agreeing` the number of cells that
    agree, and `differing` has the names of the other cells; the field `declared` names the cells whose outcome is
    declared to depend on chance."""

    cells: int
    agreeing: int
    differing: tuple[str, ...]
    declared: tuple[str, ...]

    @property
    def share(self) -> float:
        """The share of cells that agree, from 0 to 1; 0 when there are no cells."""
        return self.agreeing / self.cells if self.cells else 0.0


def agreement(maps: Sequence[FaultMap], declaring: FaultMap | None = None) -> Agreement:
    """Return how many cells have a verdict in every run, and have either always the same outcome or only the outcomes
    that are declared for the cell.

    The map `declaring` tells which cells have an outcome that depends on chance, and which outcomes these cells may
    have. Raises ValueError when there are fewer than two maps, or when the maps are not runs of the same experiment.
    """
    if len(maps) < 2:
        raise ValueError("only two runs or more can agree")
    whole = maps[0].merged(*maps[1:])
    races = {result.cell: set(result.words) for result in declaring.cells if result.race} if declaring else {}
    runs = [{result.cell for result in run.cells} for run in maps]
    differing = [
        result
        for result in whole.cells
        if not all(result.cell in run for run in runs)
        or any(validity_of(word) == "unknown" for word in result.words)
        or not (len(result.words) == 1 or set(result.words) <= races.get(result.cell, set()))
    ]
    called = whole.names
    return Agreement(
        len(whole.cells),
        len(whole.cells) - len(differing),
        tuple(f"{called[result.cell]}: {', '.join(f'{word} ×{result.seen[word]}' for word in result.words)}"
              for result in differing),
        tuple(called[result.cell] for result in whole.cells if result.cell in races),
    )  # fmt: skip


def reproduced(stored: FaultMap, again: FaultMap) -> list[str]:
    """Return lines of text that say which bad cells of a stored map are also bad in the map `again`. A cell counts as
    reproduced when at least nine of ten trials have a bad outcome that is stored for the cell. A cell whose outcome
    depends on chance counts as reproduced when it was bad at least once and had only stored outcomes."""
    tried = {result.cell: result for result in again.cells}
    bad = [result for result in stored.cells if result.verdict == "invalid" and result.cell in tried]
    called, odd, trials = stored.names, [], 0
    for result in bad:
        seen = tried[result.cell].seen
        trials = max(trials, sum(seen.values()))
        same = sum(n for word, n in seen.items() if word in result.seen and validity_of(word) == "invalid")
        raced = result.race and same > 0 and set(seen) <= set(result.seen)
        if same < REPRODUCED * sum(seen.values()) and not raced:
            words = ", ".join(f"{word} ×{n}" for word, n in seen.items())
            odd.append(f"not reproduced: {called[result.cell]}: {words}; stored was {' or '.join(result.words)}")
    summary = f"{len(bad) - len(odd)} of {len(bad)} bad cells are reproduced in 90% of trials or as a race"
    return [*odd, f"{summary}; {trials} trial{'s' * (trials != 1)} each"] if bad else odd
