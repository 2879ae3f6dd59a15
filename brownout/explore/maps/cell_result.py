"""What trials of one cell of the map showed, and what vouches for the map's cells: controls and comparisons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from brownout.check.verdict import Validity, merge
from brownout.check.words import FLAGS, UNKNOWN, parts, severity, validity_of
from brownout.explore.finding import Finding, ends
from brownout.explore.maps.cell import Cell


@dataclass(frozen=True)
class CellResult:
    """What became of the task in a cell. `seen`: each verdict word ("lost+silent", "unknown: why") and how often.

    `seconds` is the recovery time of the slowest effect after the fault, 0 when it came at once. `witness` are the
    three to six lines that prove it. `note` is the bound of a label ("silent for 5.5 s"). A cell that was tried more
    than once and came out in more than one way is a race, and declares its words with their counts. ValueError for a
    word that nobody knows, and for a count below 1.

    `repeats` counts further trials whose verdict was in doubt because the machine was busy. Of a trial that went wrong
    itself, `trouble` is the traceback and `logs` are the ends of the logs.
    """

    cell: Cell
    seen: Mapping[str, int]
    seconds: float = 0.0
    witness: tuple[str, ...] = ()
    note: str = ""
    repeats: int = 0
    trouble: str = ""
    logs: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, cell: Cell, found: Finding) -> CellResult:
        """What one trial found."""
        shown = found.logs if found.why else {}
        return cls(
            cell,
            {found.seen: 1},
            round(found.seconds, 3),
            found.witness,
            found.why,
            trouble=found.trouble,
            logs={name: text for name, text in shown.items() if text},
        )

    def __post_init__(self) -> None:
        for word in self.seen:
            parts(word)
        if any(n < 1 for n in self.seen.values()):
            raise ValueError(f"{self.cell}: what was seen was seen at least once")

    @property
    def words(self) -> tuple[str, ...]:
        """What was seen, the most frequent first, the worse of two that are as frequent."""
        return tuple(sorted(self.seen, key=lambda word: (-self.seen[word], [-n for n in severity(word)], word)))

    @property
    def race(self) -> bool:
        """Whether it came out in more than one way, each of them a verdict."""
        return len(self.seen) > 1 and all(validity_of(word) != "unknown" for word in self.seen)

    @property
    def primary(self) -> str:
        """The most frequent word."""
        return self.words[0] if self.seen else UNKNOWN

    @property
    def worst(self) -> str:
        """The worst word."""
        return max(self.words, key=severity, default=UNKNOWN)

    @property
    def flags(self) -> tuple[str, ...]:
        """What the fault did to processes, in any trial."""
        found = {part for word in self.seen for part in parts(word)}
        return tuple(flag for flag in FLAGS if flag in found)

    @property
    def verdict(self) -> Validity:
        """Invalid once anything bad was seen; unknown when a trial was, and when nothing was seen at all."""
        return merge(validity_of(word) for word in self.seen)

    @property
    def evidence(self) -> tuple[str, ...]:
        """For a trial that went wrong itself: how often it was run again, its traceback, the ends of its logs."""
        again = [f"run again {self.repeats} times, because the machine was busy"] if self.repeats else []
        return (*again, *self.trouble.splitlines(), *ends(self.logs))

    def merged(self, other: CellResult) -> CellResult:
        """Both trials' words; the witness is that of the worse one."""
        worse = max(self, other, key=lambda each: severity(each.worst))
        seen = Counter(self.seen) + Counter(other.seen)
        return replace(
            worse,
            seen=dict(seen),
            seconds=max(self.seconds, other.seconds),
            repeats=self.repeats + other.repeats,
            trouble=self.trouble or other.trouble,
            logs=self.logs or other.logs,
        )


@dataclass(frozen=True)
class Controls:
    """Trials without a fault among the others: how many, and what went wrong in those that were not perfect."""

    ran: int = 0
    bad: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """A cell that was run from the pre-imported fork and from the cold command line: the words of each."""

    cell: str
    forked: tuple[str, ...]
    cold: tuple[str, ...]

    @property
    def proves(self) -> bool:
        """Whether both have a verdict."""
        return all(any(validity_of(word) != "unknown" for word in words) for words in (self.forked, self.cold))

    @property
    def differs(self) -> bool:
        """Whether they have nothing in common; the words of a race overlap."""
        return self.proves and not set(self.forked) & set(self.cold)


def cell_record(result: CellResult) -> dict[str, Any]:
    """The JSON object of a result, without the fields that have their default."""
    seen = {word: result.seen[word] for word in result.words}
    record = asdict(result) | {"cell": result.cell.full, "seen": seen}
    return {name: value for name, value in record.items() if value or name in ("cell", "seen")}


def cell_result(record: Mapping[str, Any]) -> CellResult:
    """The result of such a JSON object."""
    return CellResult(**{**record, "witness": tuple(record.get("witness", ())), "cell": Cell.parse(record["cell"])})
