"""What became of the task after two faults, as data: outcomes, whether the merging holds, text and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from brownout.check.verdict import Validity, merge
from brownout.explore.cell import SEVERITY, UNKNOWN, Cell, parts, severity, validity_of
from brownout.explore.faultmap import EXIT
from brownout.explore.kept import Kept
from brownout.explore.pairs import Pair
from brownout.report.terminal import SIGNS

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
    nothing is proved, `unknown` counts first faults without a verdict. Times are in seconds.
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


def report(pair_map: PairMap) -> str:
    """All of it as plain text; what is worse than the first fault alone in full, with its witness."""
    return "\n".join(_lines(pair_map)) + "\n"


def _lines(map_: PairMap) -> Iterator[str]:
    yield f"{map_.name}/{map_.workload}: pairs of faults"
    yield ", ".join(f"{name} {version}" for name, version in map_.versions.items())
    yield ""
    yield f"{map_.firsts} first faults, {map_.unknown} of them without a verdict and left out; pairs:"
    yield from (f"{n:>8}  {what}" for what, n in map_.counts.items())
    left = next(reversed([*map_.counts.values()]), 0)
    sampled = f", a sample of {left} (seed {map_.seed})" if map_.planned < left else ""
    yield ""
    yield f"{len(map_.tried)} of {map_.planned} pairs tried{sampled}; {map_.classes} classes of first faults"
    yield from (f"{n:>8}  {what}" for what, n in map_.outcomes().items())
    yield from _merging(map_)
    worse = [each for each in map_.bad if each.worse]
    yield ""
    yield f"bad: {len(map_.bad)}, of which {len(worse)} are worse than the first fault alone"
    for each in worse:
        yield from _shown(each)
    for each in map_.rows:
        if each.verdict == "unknown":
            yield from _shown(each)
    yield ""
    rate = map_.trials * 60 / map_.seconds if map_.seconds else 0.0
    yield f"{map_.controls} trials without a fault; {map_.trials} trials in {map_.seconds:.0f} s, {rate:.0f} a minute"
    yield from (f"void: {each}" for each in map_.void)
    yield from (f"doubt: {each}" for each in map_.doubts)
    yield f"{SIGNS[map_.validity]} {map_.validity}: exit code {EXIT[map_.validity]}"


def _merging(map_: PairMap) -> Iterator[str]:
    words = Counter(check.word for check in map_.checks)
    compared = sum(words.values()) - words["no verdict"]
    if not words:
        return
    share = f"{words['agrees'] / compared:.0%}" if compared else "nothing"
    yield f"merging: {share} of {compared} pairs of other members agree with those that stand for them"
    for check in map_.checks:
        if check.word != "agrees":
            yield f"  {check.word}: {check.member.pair}: {_words(check.member.said)}"
            yield f"    stands for it: {check.stands.pair}: {_words(check.stands.said)}"


def _words(said: Collection[str]) -> str:
    return " or ".join(sorted(said)) or UNKNOWN


def _shown(result: PairResult) -> Iterator[str]:
    words = " or ".join(f"{word} ({n} times)" if n > 1 else word for word, n in result.seen.items())
    yield ""
    yield f"{result.pair}"
    yield f"  {words}; the first alone: {result.pair.alone}"
    yield from (f"  {line}" for line in (*result.witness, *([result.note] if result.note else ())))


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
