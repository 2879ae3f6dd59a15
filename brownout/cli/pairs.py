"""`brownout pairs` tries pairs of faults; the second fault strikes in the recovery from the first."""

from __future__ import annotations

from dataclasses import dataclass

from brownout.cli.application import CampaignOptions
from brownout.cli.output import present_pairs
from brownout.cli.parser import SIGNAL, Commands, command, option, positive

EXAMPLES = """\
brownout pairs --config late
brownout pairs --experiment tests.chaos.experiments:http --sample 90 --seed 1"""


@dataclass(frozen=True, kw_only=True)
class PairsOptions(CampaignOptions):
    """What is tried."""

    sample: int = option("--sample N", "so many of the pairs (default: all)", type=positive, default=0)
    seed: int = option("--seed N", "which pairs the sample and the checks take (default: 0)", type=int, default=0)


def add(commands: Commands) -> None:
    """Add the command."""
    what = "break a task's life twice, the second time in the recovery from the first fault"
    command(commands, "pairs", what, EXAMPLES, PairsOptions, run)


def run(options: PairsOptions) -> int:
    """Try the pairs, store the pair map and print it. Returns the exit code."""
    from brownout.explore.maps.faultmap import EXIT
    from brownout.explore.pairs_campaign import run_pairs
    from brownout.report.github import append_pairs

    asked = options.experiment_of()
    campaign = options.options(asked, options.place(asked, "pairs-"))
    found, stopped = run_pairs(asked, campaign, sample=options.sample, seed=options.seed)
    append_pairs(found)
    code, word = (SIGNAL + stopped, "interrupted") if stopped else (EXIT[found.validity], found.validity)
    return present_pairs(options, found, code, word)
