"""A baseline: the cells of fault maps whose bad outcome is accepted, each with a reason, a link and a day of expiry.
Only the function `load` of this module does I/O: it reads a file."""

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

#: Rulings on a cell or an entry: "good", "accepted" and "healed" count as valid, all other rulings except "unknown" as
#: invalid.
Kind = Literal["good", "accepted", "healed", "unknown", "new", "changed", "expired", "stray"]
_RED = ("new", "changed", "expired", "stray")


@dataclass(frozen=True)
class Accepted:
    """One entry of a baseline. In an entry, `cell` is the short or full name of a cell, `map` is
    "configuration/workload", and `outcome` has the accepted outcomes.

    At least one accepted outcome is bad. Further accepted outcomes, which may be good, are for a cell whose outcome
    depends on chance. The entry of the baseline is in force until the end of the day `expires`. `where` says where the
    entry is written: the file, with the line or the number of the entry.
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
    """The ruling of a baseline on one cell, or on an entry that names no cell of the map (then `result` is None)."""

    kind: Kind
    name: str
    sentence: str
    result: CellResult | None = None
    entry: Accepted | None = None

    @property
    def validity(self) -> Validity:
        """The verdict on the cell after the baseline's accepted outcomes are taken into account."""
        return "invalid" if self.kind in _RED else "unknown" if self.kind == "unknown" else "valid"


@dataclass(frozen=True)
class Judgement:
    """The rulings of a baseline on a whole map. `void` has the reasons why the map proves nothing; `doubts` has the
    reasons why the map cannot count as valid."""

    rulings: tuple[Ruling, ...]
    void: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def validity(self) -> Validity:
        """The verdict on the map after the baseline's accepted outcomes are taken into account: "unknown" when the map
        is void; else "invalid" when any ruling is invalid; else "unknown" when there is any doubt."""
        if self.void:
            return "unknown"
        return merge((*(ruling.validity for ruling in self.rulings), "unknown" if self.doubts else "valid"))

    def of(self, *kinds: Kind) -> tuple[Ruling, ...]:
        """Return the rulings whose kind is one of the arguments, in the order of the map."""
        return tuple(ruling for ruling in self.rulings if ruling.kind in kinds)


def load(path: Path, maps: Collection[str] = ()) -> tuple[Accepted, ...]:
    """Read the entries of a baseline file, as `parse` does."""
    return parse(path.read_bytes().decode(errors="replace"), path.name, maps)


def parse(text: str, file: str = "baseline.toml", maps: Collection[str] = ()) -> tuple[Accepted, ...]:
    """Return the entries of a baseline. When `maps` is not empty, an entry may name only these titles of maps.

    Raises ValueError, with the file and the line, for an entry with a missing or misspelt field, with no bad outcome,
    or for a cell that has an entry already.
    """
    try:
        document = tomllib.loads(text)
        for name in document:
            known("table", name, ("accepted",))
        tables = document.get("accepted", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
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
                raise ValueError(f"{entry.cell} is already accepted at {found[entry.map, entry.cell].where}")
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
        raise ValueError(f"text is missing in {', '.join(empty)}")
    if not re.fullmatch(r"https?://\S+|[\w./-]+\.md(#\S+)?", text["link"]):
        raise ValueError(f"link must be an address (https://...) or the path of a page (.md), not {text['link']!r}")
    if not isinstance(table["expires"], date) or isinstance(table["expires"], datetime):
        raise ValueError(f"expires must be a day without quotes, such as 2027-03-01, not {table['expires']!r}")
    Cell.parse(text["cell"])
    if maps:
        known("map", text["map"], maps)
    outcome = table["outcome"] if isinstance(table["outcome"], list) else [table["outcome"]]
    words = tuple(map(_known, outcome or [None]))
    if merge(map(validity_of, words)) != "invalid":
        raise ValueError(f"{', '.join(words)}: only a bad outcome can be accepted")
    return Accepted(**text, outcome=words, expires=table["expires"], where=where)


def _known(outcome: object) -> str:
    if not isinstance(outcome, str):
        raise ValueError(f"outcome must be a word or a list of words, not {outcome!r}")
    if validity_of(outcome) == "unknown":
        raise ValueError(f"{outcome!r} is unknown; only a bad outcome can be accepted")
    name, *flags = parts(outcome)
    return word(name, flags)


def judge(map_: FaultMap, baseline: Sequence[Accepted], today: date, cells: Collection[str] | None = None) -> Judgement:
    """Return a ruling for each cell of the map, and for each entry of the baseline that names the map but none of its
    cells.

    When only some cells were run, `cells` has the names of all cells that the map could have. If `cells` is not given,
    an entry whose cell is missing from an interrupted map gets no ruling.
    """
    called = map_.names
    by_name = {name: cell for cell, short in called.items() for name in (cell.full, short)}
    entries: dict[Cell, Accepted] = {}
    strays: list[Ruling] = []
    for entry in (entry for entry in baseline if entry.map == map_.title):
        cell = by_name.get(entry.cell)
        if cell is None:
            if cells is not None or map_.complete:
                strays += _stray(entry, {*by_name, *(cells or ())}, {*called.values(), *(cells or ())})
        elif cell in entries:
            sentence = f"{entry.where}: {entry.cell} is already accepted at {entries[cell].where}"
            strays.append(Ruling("stray", entry.cell, sentence, None, entry))
        else:
            entries[cell] = entry
    rulings = (_rule(result, called[result.cell], entries.get(result.cell), today) for result in map_.cells)
    return Judgement((*rulings, *strays), map_.void, map_.doubts)


def _stray(entry: Accepted, there: Collection[str], shown: Collection[str]) -> Iterator[Ruling]:
    if entry.cell not in there:
        try:
            known(f"cell of {entry.map}", entry.cell, shown)
        except UnknownName as error:
            yield Ruling("stray", entry.cell, f"{entry.where}: {error}", None, entry)


def _rule(result: CellResult, name: str, entry: Accepted | None, today: date) -> Ruling:
    bad = [outcome for outcome in result.words if validity_of(outcome) == "invalid"]
    doubt = [outcome for outcome in result.words if validity_of(outcome) == "unknown"]
    seen = ", ".join(f"{outcome} ×{result.seen[outcome]}" for outcome in result.words) or "nothing was seen"

    def ruled(kind: Kind, sentence: str) -> Ruling:
        return Ruling(kind, name, f"{name}: {seen}{sentence}", result, entry)

    if entry and (strange := [outcome for outcome in bad if outcome not in entry.outcome]):
        return ruled("changed", f"; {', '.join(strange)} is not what {entry.where} accepts: {', '.join(entry.outcome)}")
    if bad and not entry:
        return ruled("new", "; the baseline does not accept that")
    if bad and entry and today > entry.expires:
        return ruled("expired", f"; {entry.where} accepted that until {entry.expires}: {entry.reason} ({entry.link})")
    if doubt or not result.seen:
        return ruled("unknown", "; the cell has no verdict")
    if not entry:
        return ruled("good", "")
    if not bad and not set(entry.outcome) & set(result.words):
        return ruled("healed", f"; the cell is good now: remove the entry at {entry.where}")
    return ruled("accepted", f"; accepted until {entry.expires}: {entry.reason} ({entry.link})")
