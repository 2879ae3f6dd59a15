"""Maps beside each other: what another configuration or version makes better and worse; whether runs agree."""

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
    """A cell of both maps, with the words of each."""

    cell: Cell
    was: tuple[str, ...]
    now: tuple[str, ...]

    @property
    def step(self) -> int:
        """Above 0 when the worst that was seen is worse now, below 0 when it is less bad."""
        was, now = (max(map(severity, words), default=()) for words in (self.was, self.now))
        return (now > was) - (now < was)


@dataclass(frozen=True)
class Diff:
    """From map `a` to map `b`, by their titles. How often a word was seen makes no difference.

    worse: from good to bad; better: from bad to good; changed: from bad to another bad; shifted: from good to another
    good; unknown: without a verdict in one of them. `warnings` say why a map is not to be trusted.
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
        """Whether the maps say the same."""
        return not any((*(getattr(self, kind) for kind in _MEANING), self.only_a, self.only_b))

    def to_json(self) -> str:
        """Each change with its cell's full name and the words of both maps."""
        record: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        for kind in _MEANING:
            record[kind] = [{"cell": each.cell.full, "was": each.was, "now": each.now} for each in record[kind]]
        for side in ("only_a", "only_b"):
            record[side] = [{"cell": each.cell.full, "seen": each.words} for each in record[side]]
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


_MEANING = {
    "worse": "was good, is bad",
    "better": "was bad, is good",
    "changed": "bad in both, but not the same",
    "shifted": "good in both, but not the same",
    "unknown": "no verdict in one of them",
}
_KINDS = {
    ("valid", "invalid"): "worse",
    ("invalid", "valid"): "better",
    ("invalid", "invalid"): "changed",
    ("valid", "valid"): "shifted",
}


def diff(a: FaultMap, b: FaultMap) -> Diff:
    """What differs from `a` to `b`; the worst first."""
    left, right = ({each.cell: each for each in map_.cells} for map_ in (a, b))
    found: dict[str, list[Change]] = {kind: [] for kind in _MEANING}
    both = [cell for cell in left if cell in right]
    for cell in both:
        one, two = left[cell], right[cell]
        if set(one.words) != set(two.words):
            found[_KINDS.get((one.verdict, two.verdict), "unknown")].append(Change(cell, one.words, two.words))
    changes = {kind: tuple(sorted(each, key=_severest, reverse=True)) for kind, each in found.items()}
    return Diff(
        _called(a, b),
        _called(b, a),
        **changes,
        only_a=tuple(each for each in a.cells if each.cell not in right),
        only_b=tuple(each for each in b.cells if each.cell not in left),
        same=len(both) - sum(map(len, changes.values())),
        warnings=tuple(f"{m.title}: {why}" for m in (a, b) for why in (*m.void, *m.doubts)),
    )


def _severest(change: Change) -> tuple[int, ...]:
    return max((severity(word) for word in (*change.was, *change.now)), default=())


def _called(one: FaultMap, other: FaultMap) -> str:
    """The title, and where both have the same, the versions in which they differ."""
    versions = [f"{name} {one.versions.get(name, 'none')}" for name in sorted({*one.versions, *other.versions})
                if one.versions.get(name) != other.versions.get(name)]  # fmt: skip
    return f"{one.title} ({', '.join(versions)})" if one.title == other.title and versions else one.title


def text(difference: Diff) -> str:
    """As a person reads it: what is worse first, and in each part the worst first."""
    return "\n".join(_text(difference))


def _text(difference: Diff) -> Iterator[str]:
    yield f"{difference.a} → {difference.b}"
    yield from (f"  beware: {warning}" for warning in difference.warnings)
    changes = {kind: getattr(difference, kind) for kind in _MEANING}
    alone = {"only in " + difference.a: difference.only_a, "only in " + difference.b: difference.only_b}
    cells = [each.cell for group in (*changes.values(), *alone.values()) for each in group]
    called = names(sorted({cell.point for cell in cells}))
    for kind, group in changes.items():
        if group:
            yield from ("", f"{kind}: {len(group)} ({_MEANING[kind]})")
            known_as = [f"{called[each.cell.point]}/{each.cell.moment}-{each.cell.action}" for each in group]
            for name, each in zip(known_as, group, strict=True):
                step = {1: "  (worse)", -1: "  (less bad)", 0: ""}[each.step] if kind == "changed" else ""
                words = f"{' or '.join(each.was)} → {' or '.join(each.now)}"
                yield f"  {name:<{max(map(len, known_as))}}  {words}{step}"
    for title, results in alone.items():
        if results:
            yield from ("", f"{title}: {len(results)}, of them bad: {sum(r.verdict == 'invalid' for r in results)}")
            yield from _by_point(results, called)
    yield from ("", f"the same: {difference.same}")


def _by_point(results: Sequence[CellResult], called: dict[Point, str]) -> Iterator[str]:
    rows: dict[str, list[str]] = {}
    for each in results:
        words = "" if each.verdict == "valid" else f" ({' or '.join(each.words)})"
        rows.setdefault(called[each.cell.point], []).append(f"{each.cell.moment}-{each.cell.action}{words}")
    yield from (f"  {point}: {', '.join(columns)}" for point, columns in rows.items())


REPRODUCED = 0.9  # the share of trials in which a bad cell is bad again


@dataclass(frozen=True)
class Agreement:
    """Of several runs of one map: of `cells` so many `agreeing`; the `differing` ones; those with a `declared` set."""

    cells: int
    agreeing: int
    differing: tuple[str, ...]
    declared: tuple[str, ...]

    @property
    def share(self) -> float:
        """Of the cells that agree, 0 to 1; 0 where there are none."""
        return self.agreeing / self.cells if self.cells else 0.0


def agreement(maps: Sequence[FaultMap], declaring: FaultMap | None = None) -> Agreement:
    """Whether each cell is in every run, with a verdict, and always with the same word or within its declared set.

    The sets are those of the map `declaring`: the words of its races.

    ValueError when there are fewer than two maps, or when they are not runs of one map.
    """
    if len(maps) < 2:
        raise ValueError("only two runs or more can agree")
    whole = maps[0].merged(*maps[1:])
    races = {each.cell: set(each.words) for each in declaring.cells if each.race} if declaring else {}
    runs = [{each.cell for each in run.cells} for run in maps]
    differing = [
        each
        for each in whole.cells
        if not all(each.cell in run for run in runs)
        or any(validity_of(word) == "unknown" for word in each.words)
        or not (len(each.words) == 1 or set(each.words) <= races.get(each.cell, set()))
    ]
    called = whole.names
    return Agreement(
        len(whole.cells),
        len(whole.cells) - len(differing),
        tuple(f"{called[each.cell]}: {', '.join(f'{word} ×{each.seen[word]}' for word in each.words)}"
              for each in differing),
        tuple(called[each.cell] for each in whole.cells if each.cell in races),
    )  # fmt: skip


def reproduced(stored: FaultMap, again: FaultMap) -> list[str]:
    """Of the bad cells of a stored map that were tried again, how many are bad in the same way in nine of ten trials;
    and those that are not. A race is when it is bad at least once, and nothing but its words is seen.
    """
    tried = {each.cell: each for each in again.cells}
    bad = [each for each in stored.cells if each.verdict == "invalid" and each.cell in tried]
    called, odd, trials = stored.names, [], 0
    for each in bad:
        seen = tried[each.cell].seen
        trials = max(trials, sum(seen.values()))
        same = sum(n for word, n in seen.items() if word in each.seen and validity_of(word) == "invalid")
        raced = each.race and same > 0 and set(seen) <= set(each.seen)
        if same < REPRODUCED * sum(seen.values()) and not raced:
            words = ", ".join(f"{word} ×{n}" for word, n in seen.items())
            odd.append(f"not so again: {called[each.cell]}: {words}; it was {' or '.join(each.words)}")
    summary = f"{len(bad) - len(odd)} of {len(bad)} bad cells are bad again, nine times of ten or within their race"
    return [*odd, f"{summary}; {trials} trial{'s' * (trials != 1)} each"] if bad else odd
