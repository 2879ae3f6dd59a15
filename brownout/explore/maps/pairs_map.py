"""What became of the task after two faults, as data: outcomes, whether the merging holds, JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from brownout.check.verdict import Validity, merge
from brownout.check.words import SEVERITY, parts, severity, validity_of
from brownout.explore.maps.cell import Cell
from brownout.explore.maps.kept import Kept
from brownout.explore.maps.pairs import Pair

UNREACHED = "second not reached"


@dataclass(frozen=True)
class PairResult:
    """`seen`: words of trials in which both struck, and how often; `unreached`: of those without the second.

    `instead` is the first fault that stands for this one in the plan, where this was tried to check that.
    `seconds` is when the last effect or answer came, after the submission. `witness` proves what is not good.
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
        """The worst word of trials in which both struck; empty without one."""
        return max(self.seen, key=severity, default="")

    @property
    def verdict(self) -> Validity:
        """Of the trials in which both struck. Without one there is nothing bad to tell: the second never came."""
        return merge(validity_of(word) for word in self.seen) if self.seen else "valid"

    @property
    def worse(self) -> bool:
        """Whether it is bad, and more so than the first fault alone."""
        return self.verdict == "invalid" and severity(self.worst) > severity(self.pair.alone)

    @property
    def said(self) -> frozenset[str]:
        """All that can be compared with another member of the class: nothing of a trial without a verdict."""
        known = frozenset(word for word in self.seen if validity_of(word) != "unknown")
        return known | {f"{UNREACHED}, {word}" for word in self.unreached}

    def merged(self, other: PairResult) -> PairResult:
        """Both trials; the witness is that of the worse one."""
        worse = max(self, other, key=lambda each: severity(each.worst) if each.worst else ())
        return replace(
            worse,
            seen=dict(Counter(self.seen) + Counter(other.seen)),
            unreached=dict(Counter(self.unreached) + Counter(other.unreached)),
            seconds=max(self.seconds, other.seconds),
        )


@dataclass(frozen=True)
class Check:
    """A pair of another member of a class, beside the one that stands for it."""

    member: PairResult
    stands: PairResult

    @property
    def word(self) -> str:
        """Disagreements were tried twice: what then overlaps differs from run to run, whoever the member is."""
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
    """`counts` are the pairs that each step of the pruning left, `classes` and `firsts` how many there were.

    `planned` pairs were to be tried, which are fewer than the last count where a sample was asked for. `void` says why
    nothing is proved, `unknown` counts first faults without a verdict. Times are in seconds. `complete` says that
    nothing interrupted the campaign, `part` that only some first faults or pairs were asked for.
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
    rows: tuple[PairResult, ...] = ()

    @property
    def tried(self) -> tuple[PairResult, ...]:
        """Of the plan, without the checks."""
        return tuple(each for each in self.rows if each.instead is None)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Each with what stands for it."""
        plan = {(each.pair.first, each.pair.kind): each for each in self.tried}
        members = ((each, plan.get((each.instead, each.pair.kind))) for each in self.rows if each.instead)
        return tuple(Check(each, stands) for each, stands in members if stands)

    @property
    def bad(self) -> tuple[PairResult, ...]:
        """The worst first; checks among them."""
        found = (each for each in self.rows if each.verdict == "invalid")
        return tuple(sorted(found, key=lambda each: severity(each.worst), reverse=True))

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the map cannot be valid, though what is bad in it remains bad."""
        doubts = {
            "it was interrupted": not self.complete,
            "no pair was tried": not any(each.seen for each in self.rows),
            "no trial without a fault was among them": not self.controls,
            f"first faults without a verdict: {self.unknown}": self.unknown > 0,
        }
        return tuple(doubt for doubt, holds in doubts.items() if holds)

    @property
    def validity(self) -> Validity:
        """Unknown when the map is void; else invalid by any bad pair; else unknown by any doubt."""
        if self.void:
            return "unknown"
        return merge((*(each.verdict for each in self.rows), "unknown" if self.doubts else "valid"))

    def outcomes(self) -> dict[str, int]:
        """In how many pairs of the plan each outcome and each flag was seen, the worst first; then what was not."""
        found = Counter(part for each in self.tried for part in {part for word in each.seen for part in parts(word)})
        counted = {part: found[part] for part in reversed(SEVERITY) if found[part]}
        missed = sum(bool(each.unreached) for each in self.tried)
        return counted | ({UNREACHED: missed} if missed else {})

    def _record(self) -> dict[str, Any]:
        return {"rows": [_record(each) for each in self.rows]}

    @classmethod
    def _made(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        return {"rows": tuple(map(_result, given["rows"])), "void": tuple(given["void"])}


def _record(result: PairResult) -> dict[str, Any]:
    """What is empty is left out."""
    pair = result.pair
    whole = {"first": pair.first.full, "second": pair.second.full, "spot": pair.spot, "alone": pair.alone}
    more = {name.name: getattr(result, name.name) for name in fields(result)[1:-1]}
    instead = result.instead.full if result.instead else ""
    return whole | {name: value for name, value in {**more, "instead": instead}.items() if value}


def _result(given: Mapping[str, Any]) -> PairResult:
    more = dict(given)
    first, second, spot, alone = (more.pop(name) for name in ("first", "second", "spot", "alone"))
    more["witness"] = tuple(more.get("witness", ()))
    more["instead"] = Cell.parse(more["instead"]) if "instead" in more else None
    return PairResult(Pair(Cell.parse(first), Cell.parse(second), spot, alone), **more)
