"""Pair maps as data: the outcomes of pairs of faults, and the checks that the first faults of a class are alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from brownout.check.verdict import Validity, merge
from brownout.check.words import SEVERITY, parts, severity, validity_of
from brownout.explore.maps.cell import Cell, names
from brownout.explore.maps.kept import Kept
from brownout.explore.maps.pairs import Pair
from brownout.explore.maps.selection import select
from brownout.plan.near import known

UNREACHED = "second not reached"


@dataclass(frozen=True)
class PairResult:
    """The outcomes of one pair of faults. `seen` counts the outcomes of the trials in which both faults struck;
    `unreached` counts the outcomes of the trials in which the second fault did not strike.

    In the result of a check, `instead` is the first fault that stands for the class: with this fault the plan tried the
    pairs of the whole class. `seconds` is the time from the submission to the last effect or answer. `witness` has the
    lines that prove an outcome that is not good.
    """

    pair: Pair
    seen: Mapping[str, int] = field(default_factory=dict)
    unreached: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    witness: tuple[str, ...] = ()
    note: str = ""
    instead: Cell | None = None

    @property
    def worst(self) -> str:
        """The worst outcome of trials in which both faults struck; "" when there is no such trial."""
        return max(self.seen, key=severity, default="")

    @property
    def verdict(self) -> Validity:
        """The verdict on the trials in which both faults struck; "valid" when the second fault never struck."""
        return merge(validity_of(word) for word in self.seen) if self.seen else "valid"

    @property
    def worse(self) -> bool:
        """Whether the pair is bad, and worse than the first fault alone."""
        return self.verdict == "invalid" and severity(self.worst) > severity(self.pair.alone)

    @property
    def said(self) -> frozenset[str]:
        """The outcomes that are compared with the outcomes of another first fault of the same class; trials without a
        verdict are left out."""
        known = frozenset(word for word in self.seen if validity_of(word) != "unknown")
        return known | {f"{UNREACHED}, {word}" for word in self.unreached}

    def merged(self, other: PairResult) -> PairResult:
        """Return one result that has the outcomes of both results; the witness comes from the worse result."""
        worse = max(self, other, key=lambda result: severity(result.worst) if result.worst else ())
        return replace(
            worse,
            seen=dict(Counter(self.seen) + Counter(other.seen)),
            unreached=dict(Counter(self.unreached) + Counter(other.unreached)),
            seconds=max(self.seconds, other.seconds),
        )


@dataclass(frozen=True)
class Check:
    """Compares two pairs of faults whose first faults are of the same class: the pair `stands` was tried for the whole
    class, and the pair `member` has another first fault."""

    member: PairResult
    stands: PairResult

    @property
    def word(self) -> str:
        """Whether the two compared pairs have an outcome in common. Two pairs that disagreed were tried twice. If their
        outcomes then overlap, the outcome depends on chance, not on the first fault."""
        ours, theirs = self.member.said, self.stands.said
        if not ours or not theirs:
            return "no verdict"
        if ours == theirs and len(ours) == 1:
            return "agrees"
        if ours & theirs:
            return "differs from run to run"
        both = self.member.seen and self.stands.seen and {self.member.verdict, self.stands.verdict} == {"valid"}
        return "both are good" if both else "disagrees"


@dataclass(frozen=True)
class PairMap(Kept):
    """The results of many pairs of faults. `counts` has the number of pairs that remain after each step that leaves out
    pairs; `firsts` and `classes` count the first faults and their classes.

    `planned` is the number of pairs to try; if only a sample is tried, the number is smaller than the last number of
    `counts`. `void` says why the map proves nothing. `unknown` counts first faults without a verdict. Times are in
    seconds. If `complete` is true, nothing interrupted the campaign. If `part` is true, the command asked for only some
    first faults or pairs. If `shard` is "2/4", this is the second of four parts of the pair map; the other parts have
    the other pairs.
    """

    KIND: ClassVar = "pair map"
    _LAST: ClassVar = "rows"

    name: str
    workload: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    firsts: int = 0
    unknown: int = 0
    classes: int = 0
    planned: int = 0
    seed: int = 0
    controls: int = 0
    void: tuple[str, ...] = ()
    trials: int = 0
    seconds: float = 0.0
    complete: bool = False
    part: bool = False
    shard: str = ""
    rows: tuple[PairResult, ...] = ()

    @property
    def tried(self) -> tuple[PairResult, ...]:
        """The results of the planned pairs, without the pairs that only check a class."""
        return tuple(result for result in self.rows if result.instead is None)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Return the checks that the first faults of a class behave alike: the result of one more first fault of a
        class, with the result of the fault that was tried for the whole class."""
        plan = {(result.pair.first, result.pair.kind): result for result in self.tried}
        members = ((result, plan.get((result.instead, result.pair.kind))) for result in self.rows if result.instead)
        return tuple(Check(result, stands) for result, stands in members if stands)

    @property
    def bad(self) -> tuple[PairResult, ...]:
        """The results of bad pairs, including the pairs that only check a class; the worst results come first."""
        found = (result for result in self.rows if result.verdict == "invalid")
        return tuple(sorted(found, key=lambda result: severity(result.worst), reverse=True))

    @property
    def candidates(self) -> int:
        """The number of pairs that remain after the last step that leaves out pairs."""
        return [0, *self.counts.values()][-1]

    @property
    def doubts(self) -> tuple[str, ...]:
        """The reasons why the verdict on the pair map cannot be "valid". A bad pair still makes the map invalid."""
        doubts = {
            "the map was interrupted": not self.complete,
            "no pair was tried": not any(result.seen for result in self.rows),
            "no trial ran without a fault": not self.controls,
            f"first faults without a verdict: {self.unknown}": self.unknown > 0,
            "its shards planned other pairs than one machine would": self.whole and self.planned != self.candidates,
        }
        return tuple(doubt for doubt, holds in doubts.items() if holds)

    @property
    def validity(self) -> Validity:
        """The verdict on the map: "unknown" when the map is void; else "invalid" when any pair is bad; else "unknown"
        when there is any doubt."""
        if self.void:
            return "unknown"
        return merge((*(result.verdict for result in self.rows), "unknown" if self.doubts else "valid"))

    def filtered(
        self,
        points: Collection[str] = (),
        actions: Collection[str] = (),
        cells: Collection[str] = (),
        *,
        only_bad: bool = False,
    ) -> PairMap:
        """Return the pairs whose first fault matches: by point and action as `select` says, or by the name of the first
        fault's cell.

        Raises UnknownName, with similar names, for a name that matches no cell. If `only_bad` is true, the result has
        only the pairs whose verdict is not valid.
        """
        firsts = tuple(dict.fromkeys(row.pair.first for row in self.rows))
        short = names(cell.point for cell in firsts)
        called = {name: cell for cell in firsts
                  for name in (cell.full, f"{short[cell.point]}/{cell.moment}-{cell.action}")}  # fmt: skip
        chosen = {called[known("first fault", cell, called)] for cell in cells}
        chosen = chosen or set(select(firsts, points, actions))
        rows = tuple(row for row in self.rows if row.pair.first in chosen and not (only_bad and row.verdict == "valid"))
        return replace(self, rows=rows, part=self.part or len(rows) < len(self.rows))

    def outcomes(self) -> dict[str, int]:
        """Return in how many planned pairs each outcome and each flag was seen, the worst first; then the number of
        pairs whose second fault did not strike."""
        found = Counter(
            part for result in self.tried for part in {part for word in result.seen for part in parts(word)}
        )
        counted = {part: found[part] for part in reversed(SEVERITY) if found[part]}
        missed = sum(bool(result.unreached) for result in self.tried)
        return counted | ({UNREACHED: missed} if missed else {})

    def _record(self) -> dict[str, Any]:
        return {"rows": [_record(result) for result in self.rows]}

    @classmethod
    def _made(cls, record: Mapping[str, Any]) -> dict[str, Any]:
        return {"rows": tuple(map(_result, record["rows"])), "void": tuple(record["void"])}


def _record(result: PairResult) -> dict[str, Any]:
    """Return the JSON object of a result, without empty fields."""
    pair = result.pair
    whole = {"first": pair.first.full, "second": pair.second.full, "spot": pair.spot, "alone": pair.alone}
    more = {name.name: getattr(result, name.name) for name in fields(result)[1:-1]}
    instead = result.instead.full if result.instead else ""
    return whole | {name: value for name, value in {**more, "instead": instead}.items() if value}


def _result(record: Mapping[str, Any]) -> PairResult:
    more = dict(record)
    first, second, spot, alone = (more.pop(name) for name in ("first", "second", "spot", "alone"))
    more["witness"] = tuple(more.get("witness", ()))
    more["instead"] = Cell.parse(more["instead"]) if "instead" in more else None
    return PairResult(Pair(Cell.parse(first), Cell.parse(second), spot, alone), **more)
