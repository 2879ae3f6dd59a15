"""Accepted cells: each with its reason, its link and its day of expiry. Pure but for reading the file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from brownout.check.verdict import Validity, merge
from brownout.check.words import parts, validity_of, word
from brownout.explore.maps.cell import Cell
from brownout.explore.maps.cell_result import CellResult
from brownout.explore.maps.faultmap import FaultMap
from brownout.plan.near import UnknownName, known

FIELDS = ("cell", "map", "outcome", "reason", "link", "expires")

#: What becomes of a cell, or of an entry: the first three are green, unknown is unknown, the others are red.
Kind = Literal["good", "accepted", "healed", "unknown", "new", "changed", "expired", "stray"]
_RED = ("new", "changed", "expired", "stray")


@dataclass(frozen=True)
class Accepted:
    """An entry. `cell` is a cell's name, short or full; `map` "configuration/workload"; `outcome` verdict words.

    One of them at least is bad; the others, which may be good, are those of a race. It holds up to and on the day
    `expires`. `where` is the file and the line, or the number of the entry.
    """

    cell: str
    map: str
    outcome: tuple[str, ...]
    reason: str
    link: str
    expires: date
    where: str = ""


@dataclass(frozen=True)
class Ruling:
    """What a baseline makes of one cell, in a sentence; or of an entry that names none (`result` is None then)."""

    kind: Kind
    name: str
    sentence: str
    result: CellResult | None = None
    entry: Accepted | None = None

    @property
    def validity(self) -> Validity:
        """Of this cell."""
        return "invalid" if self.kind in _RED else "unknown" if self.kind == "unknown" else "valid"


@dataclass(frozen=True)
class Judgement:
    """A map in the light of a baseline; `void` says why the map proves nothing, `doubts` why it cannot be valid."""

    rulings: tuple[Ruling, ...]
    void: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def validity(self) -> Validity:
        """Unknown when the map is void; else invalid by anything red; else unknown by any doubt."""
        if self.void:
            return "unknown"
        return merge((*(each.validity for each in self.rulings), "unknown" if self.doubts else "valid"))

    def of(self, *kinds: Kind) -> tuple[Ruling, ...]:
        """The rulings of these kinds, in the map's order."""
        return tuple(each for each in self.rulings if each.kind in kinds)


def load(path: Path, maps: Collection[str] = ()) -> tuple[Accepted, ...]:
    """Read a file; see `parse`."""
    return parse(path.read_bytes().decode(errors="replace"), path.name, maps)


def parse(text: str, file: str = "baseline.toml", maps: Collection[str] = ()) -> tuple[Accepted, ...]:
    """The entries of a baseline. `maps`, where given, are the titles that an entry may name.

    ValueError, with the file and the line, for what is missing, misspelt, not bad, or there twice.
    """
    try:
        given = tomllib.loads(text)
        for name in given:
            known("table", name, ("accepted",))
        tables = given.get("accepted", [])
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            raise ValueError("an entry begins with [[accepted]]")
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    lines = [n for n, line in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*accepted\s*\]\]", line)]
    found: dict[tuple[str, str], Accepted] = {}
    for n, table in enumerate(tables):
        where = f"{file}:{lines[n]}" if len(lines) == len(tables) else f"{file}, entry {n + 1}"
        try:
            entry = _entry(table, where, maps)
            if (entry.map, entry.cell) in found:
                raise ValueError(f"{entry.cell} is accepted at {found[entry.map, entry.cell].where} already")
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        found[entry.map, entry.cell] = entry
    return tuple(found.values())


def _entry(table: Mapping[str, Any], where: str, maps: Collection[str]) -> Accepted:
    for name in table:
        known("field", name, FIELDS)
    if missing := [name for name in FIELDS if name not in table]:
        raise ValueError(f"an accepted cell needs its {', '.join(missing)}")
    text = {name: table[name] for name in ("cell", "map", "reason", "link")}
    if empty := [name for name, value in text.items() if not isinstance(value, str) or not value.strip()]:
        raise ValueError(f"text that says something is needed for {', '.join(empty)}")
    if not re.fullmatch(r"https?://\S+|[\w./-]+\.md(#\S+)?", text["link"]):
        raise ValueError(f"link is where the reason can be read, https://… or a page's path: {text['link']!r}")
    if not isinstance(table["expires"], date) or isinstance(table["expires"], datetime):
        raise ValueError(f"expires is a day, without quotes, as 2027-03-01: {table['expires']!r}")
    Cell.parse(text["cell"])
    if maps:
        known("map", text["map"], maps)
    outcome = table["outcome"] if isinstance(table["outcome"], list) else [table["outcome"]]
    words = tuple(map(_known, outcome or [None]))
    if merge(map(validity_of, words)) != "invalid":
        raise ValueError(f"{', '.join(words)}: only what is bad can be accepted")
    return Accepted(**text, outcome=words, expires=table["expires"], where=where)


def _known(outcome: object) -> str:
    if not isinstance(outcome, str):
        raise ValueError(f"outcome is a word or a list of words: {outcome!r}")
    if validity_of(outcome) == "unknown":
        raise ValueError(f"{outcome!r} is unknown; only what is bad can be accepted")
    name, *flags = parts(outcome)
    return word(name, flags)


def judge(map_: FaultMap, baseline: Sequence[Accepted], today: date, cells: Collection[str] | None = None) -> Judgement:
    """A ruling for each cell of the map, and for each entry of this map that names none of its cells.

    `cells` are the names of all cells that the map could have, where only some were run; without it, an interrupted
    map accuses no entry of naming none.
    """
    called = map_.names
    by_name = {name: cell for cell, short in called.items() for name in (cell.full, short)}
    entries: dict[Cell, Accepted] = {}
    strays: list[Ruling] = []
    for entry in (each for each in baseline if each.map == map_.title):
        cell = by_name.get(entry.cell)
        if cell is None:
            if cells is not None or map_.complete:
                strays += _stray(entry, {*by_name, *(cells or ())}, {*called.values(), *(cells or ())})
        elif cell in entries:
            sentence = f"{entry.where}: {entry.cell} is accepted at {entries[cell].where} already"
            strays.append(Ruling("stray", entry.cell, sentence, None, entry))
        else:
            entries[cell] = entry
    rulings = (_rule(each, called[each.cell], entries.get(each.cell), today) for each in map_.cells)
    return Judgement((*rulings, *strays), map_.void, map_.doubts)


def _stray(entry: Accepted, there: Collection[str], shown: Collection[str]) -> Iterator[Ruling]:
    if entry.cell not in there:
        try:
            known(f"cell of {entry.map}", entry.cell, shown)
        except UnknownName as error:
            yield Ruling("stray", entry.cell, f"{entry.where}: {error}", None, entry)


def _rule(result: CellResult, name: str, entry: Accepted | None, today: date) -> Ruling:
    bad = [each for each in result.words if validity_of(each) == "invalid"]
    doubt = [each for each in result.words if validity_of(each) == "unknown"]
    seen = ", ".join(f"{each} ×{result.seen[each]}" for each in result.words) or "nothing was seen"

    def ruled(kind: Kind, sentence: str) -> Ruling:
        return Ruling(kind, name, f"{name}: {seen}{sentence}", result, entry)

    if entry and (strange := [each for each in bad if each not in entry.outcome]):
        return ruled("changed", f"; {', '.join(strange)} is not what {entry.where} accepts: {', '.join(entry.outcome)}")
    if bad and not entry:
        return ruled("new", "; nobody has accepted that")
    if bad and entry and today > entry.expires:
        return ruled("expired", f"; {entry.where} accepted it until {entry.expires}: {entry.reason} ({entry.link})")
    if doubt or not result.seen:
        return ruled("unknown", "; it has no verdict")
    if not entry:
        return ruled("good", "")
    if not bad and not set(entry.outcome) & set(result.words):
        return ruled("healed", f"; it is good now: remove this line: {entry.where}")
    return ruled("accepted", f"; accepted until {entry.expires}: {entry.reason} ({entry.link})")
