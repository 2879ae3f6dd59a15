"""Joins the parts of a map that several machines made, each with a `--shard` of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from brownout.explore.maps.faultmap import FaultMap
from brownout.explore.maps.kept import Kept
from brownout.explore.maps.pairs_map import PairMap
from brownout.plan.shard import Shard, united

Map = TypeVar("Map", FaultMap, PairMap)


def joined(parts: Sequence[Kept]) -> FaultMap | PairMap:
    """Return the whole map, joined from its shards (the parts that several machines made). The joined map counts as
    complete when all shards are there; then it is the map that one machine would have made.

    Raises ValueError when a part is no shard, when the parts are not of one map, or when two parts have the same cell.
    """
    maps = [part for part in parts if isinstance(part, FaultMap)]
    if len(maps) == len(parts):
        return _joined_maps(maps)
    pairs = [part for part in parts if isinstance(part, PairMap)]
    if len(pairs) == len(parts):
        return _joined_pairs(pairs)
    raise ValueError(f"not parts of one map: {' and '.join(sorted({part.KIND for part in parts}))}")


def _joined_maps(parts: Sequence[FaultMap]) -> FaultMap:
    shard = _same(parts, "name", "workload", "options", "settings", "versions", "bounds")
    _once(result.cell.full for part in parts for result in part.cells)
    trace = frozenset(parts[0].trace)
    for part in parts[1:]:
        if differing := trace ^ frozenset(part.trace):
            names = ", ".join(sorted(point.full for point in differing))
            raise ValueError(f"not parts of one map: only some of them have the points {names}")
    whole = parts[0].merged(*parts[1:])
    return replace(whole, shard=shard, part=any(part.part for part in parts))


def _joined_pairs(parts: Sequence[PairMap]) -> PairMap:
    shard = _same(parts, "name", "workload", "settings", "versions", "bounds", "seed")
    _once(str(result.pair) for part in parts for result in part.rows)
    return replace(
        parts[0],
        shard=shard,
        part=any(part.part for part in parts),
        unknown=max(part.unknown for part in parts),
        planned=sum(part.planned for part in parts),
        controls=sum(part.controls for part in parts),
        void=tuple(dict.fromkeys(reason for part in parts for reason in part.void)),
        trials=sum(part.trials for part in parts),
        seconds=round(sum(part.seconds for part in parts), 1),
        complete=all(part.complete for part in parts),
        rows=tuple(result for part in parts for result in part.rows),
    )


def _same(parts: Sequence[Map], *names: str) -> str:
    """Return the shards of all parts as text; the text is empty when all shards are there. Raises ValueError where two
    parts differ in a field that must be the same."""
    for name in names:
        first = getattr(parts[0], name)
        for part in parts[1:]:
            if (other := getattr(part, name)) != first:
                raise ValueError(f"not parts of one map: {name} {_differing(first, other)}")
    if not all(part.shard for part in parts):
        raise ValueError("a whole map is among the parts; a part is made with --shard")
    shard = united([Shard.parse(part.shard) for part in parts])
    return str(shard) if shard.missing else ""


def _differing(first: object, other: object) -> str:
    """Return two values as text; of two mappings, return only the entries that differ."""
    if isinstance(first, dict) and isinstance(other, dict):
        keys = [key for key in sorted({**first, **other}) if first.get(key) != other.get(key)]
        first, other = ({key: value[key] for key in keys if key in value} for value in (first, other))
    return f"{first} and {other}"


def _once(names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{count} parts have the cell {name}")
