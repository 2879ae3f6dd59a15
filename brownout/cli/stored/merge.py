"""`brownout merge`: one map of the parts that several machines made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from brownout.cli.output import OutputOptions, SaveOptions, accepted, again, judged, load_any, present_pairs
from brownout.cli.parser import Commands, Usage, command, option

if TYPE_CHECKING:
    from brownout.check.verdict import Validity
    from brownout.explore.maps.faultmap import FaultMap
    from brownout.explore.maps.pairs_map import PairMap

EXAMPLES = """\
brownout merge part-1.json part-2.json part-3.json part-4.json --save store/maps/late-task.json
brownout merge defaults-task.1-of-2 defaults-task.2-of-2 --baseline docs/maps/baseline.toml"""


@dataclass(frozen=True, kw_only=True)
class MergeOptions(SaveOptions, OutputOptions):
    """What is joined."""

    parts: tuple[str, ...] = option("PART", "maps that were made with --shard, of all shards", nargs="+")


def add(commands: Commands) -> None:
    """Add the command."""
    what = "join the shards of a map, and judge the whole as one machine would; run nothing"
    command(commands, "merge", what, EXAMPLES, MergeOptions, run)


def run(options: MergeOptions) -> int:
    """Join the parts, store the map and print it; returns the exit code that its verdict has."""
    from brownout.check.verdict import merge
    from brownout.explore.maps.faultmap import EXIT, FaultMap
    from brownout.explore.maps.merge import joined
    from brownout.plan.shard import Shard
    from brownout.report.github import append_map, append_pairs

    try:
        whole = joined([load_any(name) for name in options.parts])
    except ValueError as error:
        raise Usage(error) from error
    missing = Shard.parse(whole.shard).missing if whole.shard else ()
    doubts = [f"doubt: shards that are missing: {', '.join(map(str, missing))}"] if missing else []

    def worst(validity: Validity) -> Validity:
        return merge((validity, "unknown")) if missing else validity

    if not isinstance(whole, FaultMap):
        if options.baseline or options.only_bad or options.markdown or options.html:
            raise Usage("--baseline, --only-bad, --html and --markdown are for fault maps; these are maps of pairs")
        _store(options, whole, "pairs-")
        append_pairs(whole)
        word = worst(whole.validity)
        return present_pairs(options, whole, EXIT[word], word, doubts)
    accepted_ = accepted(options.baseline, whole.title)
    _store(options, whole)
    # With a shard missing nobody knows which cells there are, so no entry of the baseline names none.
    names = None if missing else [name for cell, short in whole.names.items() for name in (short, cell.full)]
    judgement, remarks = judged(replace(whole, complete=False) if missing else whole, accepted_, names)
    word = worst(judgement)
    remarks += doubts
    append_map(whole, word, remarks, again)
    return options.present(whole, EXIT[word], word, remarks)


def _store(options: MergeOptions, whole: FaultMap | PairMap, prefix: str = "") -> None:
    """Store the map where it is whole, or where --save says."""
    from brownout.report.stored import write

    if whole.whole or options.save:
        write(whole, options.saved(f"{prefix}{whole.name}-{whole.workload}"))
