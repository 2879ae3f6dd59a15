"""The outcomes of the trials of one cell, and the control trials and comparisons that show whether outcomes can be
trusted."""

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
    """The outcomes of one cell. `seen` maps each outcome ("lost+silent", "unknown: why") to the number of trials that
    had the outcome.

    `seconds` is the time from the submission to the last effect or answer, in the slowest trial. `witness` has the
    lines of text that prove the worst outcome. `note` is the reason of an unknown outcome. A cell is called a race when
    its trials had several outcomes, each of them with a verdict. Raises ValueError for an unknown outcome and for a
    count below 1.

    `repeats` counts the trials that were run again because the machine was busy. For a trial that itself failed with an
    error, `trouble` is the traceback and `logs` has the ends of the logs.
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
        """Make the result of a cell from the result of a single trial (`found`)."""
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
            raise ValueError(f"{self.cell}: the count of an outcome is at least 1")

    @property
    def words(self) -> tuple[str, ...]:
        """The outcomes, the most frequent first; of two outcomes that are equally frequent, the worse comes first."""
        return tuple(sorted(self.seen, key=lambda word: (-self.seen[word], [-n for n in severity(word)], word)))

    @property
    def race(self) -> bool:
        """Whether the cell has several outcomes, and each of them is a verdict."""
        return len(self.seen) > 1 and all(validity_of(word) != "unknown" for word in self.seen)

    @property
    def primary(self) -> str:
        """The most frequent outcome of the cell."""
        return self.words[0] if self.seen else UNKNOWN

    @property
    def worst(self) -> str:
        """The worst outcome of the cell."""
        return max(self.words, key=severity, default=UNKNOWN)

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags of the outcomes, such as "silent", which tell what the fault did to processes; a flag of any trial
        counts."""
        found = {part for word in self.seen for part in parts(word)}
        return tuple(flag for flag in FLAGS if flag in found)

    @property
    def verdict(self) -> Validity:
        """The verdict on the cell: "invalid" when any outcome is bad; else "unknown" when any outcome is unknown or
        when there is no outcome; else "valid"."""
        return merge(validity_of(word) for word in self.seen)

    @property
    def evidence(self) -> tuple[str, ...]:
        """Lines about a trial that itself failed with an error: how often the trial was run again, its traceback, and
        the ends of its logs."""
        again = [f"run again {self.repeats} times, because the machine was busy"] if self.repeats else []
        return (*again, *self.trouble.splitlines(), *ends(self.logs))

    def merged(self, other: CellResult) -> CellResult:
        """Return one result that has the outcomes of both results; the witness comes from the worse result."""
        worse = max(self, other, key=lambda result: severity(result.worst))
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
    """The control trials, which run without a fault among the other trials: the field `ran` is their number, and `bad`
    has the reasons why some control trials failed."""

    ran: int = 0
    bad: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """The outcomes of one cell with forked workers, and with workers started by their command line (cold)."""

    cell: str
    forked: tuple[str, ...]
    cold: tuple[str, ...]

    @property
    def proves(self) -> bool:
        """Whether trials with forked workers and trials with newly started (cold) workers both had an outcome with a
        verdict."""
        return all(any(validity_of(word) != "unknown" for word in words) for words in (self.forked, self.cold))

    @property
    def differs(self) -> bool:
        """Whether trials with forked workers and trials with newly started (cold) workers had no outcome in common. The
        outcomes of a cell whose outcome depends on chance overlap, so such a cell does not count as different."""
        return self.proves and not set(self.forked) & set(self.cold)


def cell_record(result: CellResult) -> dict[str, Any]:
    """Return the JSON object of a cell's result, without the fields that have their default value."""
    seen = {word: result.seen[word] for word in result.words}
    record = asdict(result) | {"cell": result.cell.full, "seen": seen}
    return {name: value for name, value in record.items() if value or name in ("cell", "seen")}


def cell_result(record: Mapping[str, Any]) -> CellResult:
    """Return the result of a cell from a JSON object that `record` made."""
    return CellResult(**{**record, "witness": tuple(record.get("witness", ())), "cell": Cell.parse(record["cell"])})
