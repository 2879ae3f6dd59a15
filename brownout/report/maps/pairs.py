"""A map of pairs of faults as plain text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from brownout.check.words import UNKNOWN
from brownout.explore.maps.pairs_map import PairMap, PairResult
from brownout.report.clean import clean
from brownout.report.maps.grid import table_row
from brownout.report.terminal import SIGNS


def report(pair_map: PairMap, code: int, word: str, remarks: Iterable[str] = ()) -> str:
    """Return a pair map as plain text; pairs that are worse than the first fault alone have their witnesses.

    `word` is the verdict or "interrupted", `code` the exit code.
    """
    last = f"{SIGNS.get(word, SIGNS['unknown'])} {word}: exit code {code}"
    return "\n".join((*_lines(pair_map), *remarks, last)) + "\n"


def markdown(map_: PairMap) -> str:
    """What is bad or unknown, as a Markdown table: the worst first."""
    unknown = [row for row in map_.rows if row.verdict == "unknown"]
    lines = [table_row("first fault", "second fault", "outcome", "the first fault alone"), "|---" * 4 + "|"]
    for row in (*sorted(map_.bad, key=lambda row: not row.worse), *unknown):
        words = clean(" or ".join(row.seen))
        shown = f"**{words}**" if row.worse else words
        lines.append(table_row(f"`{clean(row.pair.first)}`", f"`{clean(row.pair.second)}`", shown, row.pair.alone))
    return "\n".join([*lines, ""])


def _lines(map_: PairMap) -> Iterator[str]:
    yield f"{map_.name}/{map_.workload}: pairs of faults"
    yield ", ".join(f"{name} {version}" for name, version in map_.versions.items())
    yield ""
    yield f"{map_.firsts} first faults, {map_.unknown} of them left out without a verdict; pairs after each step:"
    yield from (f"{n:>8}  {what}" for what, n in map_.counts.items())
    sampled = f", a sample of {map_.candidates} (seed {map_.seed})" if map_.planned < map_.candidates else ""
    sampled = f", shard {map_.shard}" if map_.shard else sampled
    yield ""
    yield f"{len(map_.tried)} of {map_.planned} pairs tried{sampled}; {map_.classes} classes of first faults"
    yield from (f"{n:>8}  {what}" for what, n in map_.outcomes().items())
    yield from _merging(map_)
    worse = [result for result in map_.bad if result.worse]
    yield ""
    yield f"bad: {len(map_.bad)}, of which {len(worse)} are worse than the first fault alone"
    for result in (*worse, *(row for row in map_.rows if row.verdict == "unknown")):
        yield from _shown(result)
    yield ""
    rate = map_.trials * 60 / map_.seconds if map_.seconds else 0.0
    yield f"{map_.controls} trials without a fault; {map_.trials} trials in {map_.seconds:.0f} s, {rate:.0f} a minute"
    yield from (f"void: {reason}" for reason in map_.void)
    yield from (f"doubt: {reason}" for reason in map_.doubts)


def _merging(map_: PairMap) -> Iterator[str]:
    words = Counter(check.word for check in map_.checks)
    compared = sum(words.values()) - words["no verdict"]
    if not words:
        return
    share = f" ({words['agrees'] / compared:.0%})" if compared else ""
    agreeing = f"{words['agrees']} of {compared} compared pairs{share}"
    yield f"merging: {agreeing} agree with the pair that represents them"
    for check in map_.checks:
        if check.word != "agrees":
            yield f"  {check.word}: {check.member.pair}: {_words(check.member.said)}"
            yield f"    represented by: {check.stands.pair}: {_words(check.stands.said)}"


def _words(words: Collection[str]) -> str:
    return " or ".join(sorted(words)) or UNKNOWN


def _shown(result: PairResult) -> Iterator[str]:
    words = " or ".join(f"{word} ({n} times)" if n > 1 else word for word, n in result.seen.items())
    yield ""
    yield f"{result.pair}"
    yield f"  {words}; the first fault alone: {result.pair.alone}"
    yield from (f"  {line}" for line in (*result.witness, *([result.note] if result.note else ())))
