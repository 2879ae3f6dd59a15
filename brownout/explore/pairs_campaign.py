"""Tries pairs of faults: first each fault alone to see the recovery, then a second fault in each recovery, several
trials at the same time."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from brownout.check.words import UNKNOWN
from brownout.explore.campaign import Campaign
from brownout.explore.experiment import Experiment
from brownout.explore.finding import Finding
from brownout.explore.maps.cell import Cell, trial_name
from brownout.explore.maps.pairs import CHECKS, First, Pair, Plan, later, plan
from brownout.explore.maps.pairs_map import PairMap, PairResult
from brownout.explore.maps.selection import select
from brownout.explore.options import Options
from brownout.explore.signals import heeding
from brownout.run.events import CampaignEnded, Planned, TrialEnded, campaigning
from brownout.run.turns import Stopped

CHECKED = 4  # If only a sample of the pairs is tried, there is at most one check for each this many pairs.
LONG = ("never", "held", "late", "restart-broker")  # Trials with these actions take longest, so they start first.
Key = tuple[Cell, Cell]


class PairCampaign:
    """Runs the trials of one pair map; call the method `run` once. After `stop` was called, `pairs(complete=False)`
    returns the pairs that were finished.

    `options` says which first faults to try, and which shard (one machine's share) of the pairs; every shard tries all
    the first faults. `sample` is the number of pairs to try, evenly from all classes; 0 means all pairs of the plan.
    `seed` decides which pairs are drawn, and which other first fault of each class is checked; at most `check` pairs
    are checked. Instead of calling `run`, a caller may do its steps: enter the context of `singles`, then call
    `explore_singles`, `choose` and `explore_pairs`.
    """

    def __init__(
        self, experiment: Experiment, options: Options, *, sample: int = 0, seed: int = 0, check: int = CHECKS
    ) -> None:
        self.singles = Campaign(experiment, replace(options, shard=None), self._learn)
        self.options, self.sample, self.seed, self.check = options, sample, seed, check
        self.firsts: dict[Cell, First] = {}
        self.ordinary: set[str] = set()  # the commands that are sent in trials without a fault
        self.plan = Plan({}, ())
        self.chosen: Mapping[Pair, Pair | None] = {}  # A check's value is the pair to compare it with.
        self.drawn = 0  # Pairs to try in all shards, without the checks.
        self.rows: dict[Key, PairResult] = {}
        self._lock = threading.Lock()

    def run(self) -> PairMap:
        """Try single faults, plan the pairs, then try the pairs and the pairs that check the classes. Raises the
        exceptions of `Campaign.run`, and Stopped after `stop` was called."""
        with self.singles:
            self.explore_singles()
            self.choose()
            self.explore_pairs()
        return self.pairs(complete=True)

    def stop(self) -> None:
        """End all running trials immediately; any thread may call this method."""
        self.singles.stop()

    def explore_singles(self, *cells: Cell) -> None:
        """Try these first faults alone; if `cells` is not given, try all first faults that the options choose."""
        self.singles.discover()
        self.singles.planned = cells or select(self.singles.possible(self.options.actions), self.options.points)
        self.options.emit(Planned(len(self.singles.planned)))
        self.singles.attempt()

    def choose(self) -> None:
        """Decide which pairs to try, from the results of trials with a single fault that gave a verdict."""
        self.plan = plan((first for first in self.firsts.values() if first.word != UNKNOWN), self.ordinary)
        pairs = self.plan.sample(self.sample, self.seed)
        most = max(1, self.sample // CHECKED) if self.sample else 0
        checks = self.plan.checks(set(pairs), self.seed, self.check, most) if self.check else {}
        self.drawn, shard = len(pairs), self.options.shard
        # The shard of a pair depends only on the pair's kind: machines may choose other members of a class, and each
        # kind must be in exactly one shard.
        chosen = (dict.fromkeys(pairs) | checks).items()
        self.chosen = {pair: stands for pair, stands in chosen if not shard or shard.has(" ".join(pair.kind))}

    def explore_pairs(self) -> None:
        """Try the chosen pairs; when two pairs of a check disagree, try both pairs again."""
        self.options.emit(Planned(len(self.chosen)))
        self._all(self.chosen)
        self._all(self._disagreeing())

    def _learn(self, schedule: Sequence[Cell], finding: Finding) -> None:
        """Store the steps of a trial that had no fault or one fault; the campaign calls this method after each
        trial."""
        with self._lock:
            if not schedule:
                self.ordinary |= {step.spot for step in (*finding.steps, *finding.opened)}
            elif len(schedule) == 1:
                cell = schedule[0]
                self.firsts[cell] = First(cell, finding.word, later(cell, finding.steps), finding.samples)

    def _all(self, pairs: Mapping[Pair, Pair | None] | Sequence[Pair]) -> None:
        def rank(pair: Pair) -> int:
            actions = (pair.first.action, pair.second.action)
            return min(LONG.index(action) if action in LONG else len(LONG) for action in actions)

        todo = sorted(dict.fromkeys(pairs), key=rank)
        self.singles.trials.together(self.singles.controlled([partial(self._pair, pair) for pair in todo]))
        self.singles.try_again()

    def _pair(self, pair: Pair, attempt: int = 1) -> None:
        finding = self.singles.trial(self.singles.trials.forked, [pair.first, pair.second])
        again = self.singles.doubted(finding, attempt, partial(self._pair, pair, attempt + 1))
        both = finding.word == UNKNOWN or finding.reached > 1
        stands = self.chosen.get(pair)
        result = PairResult(
            pair,
            seen={finding.seen: 1} if both else {},
            unreached={} if both else {finding.seen: 1},
            seconds=round(finding.seconds, 3),
            note=finding.why,
            instead=stands.first if stands else None,
        )
        if result.verdict != "valid":
            result = replace(result, witness=finding.witness)
        key = (pair.first, pair.second)
        if not again:
            with self._lock:
                self.rows[key] = self.rows[key].merged(result) if key in self.rows else result
        self.options.emit(TrialEnded(trial_name(pair.first, pair.second), result, attempt, again))

    def _disagreeing(self) -> list[Pair]:
        checks = [check for check in self.pairs(complete=True).checks if check.word == "disagrees"]
        return [result.pair for check in checks for result in (check.member, check.stands)]

    def pairs(self, *, complete: bool) -> PairMap:
        """Return the pair map of the pairs that were tried so far."""
        singles = self.singles.map(complete=complete)
        left = [0, *self.plan.counts.values()][-1]
        rows = [self.rows[key] for pair in self.chosen if (key := (pair.first, pair.second)) in self.rows]
        return PairMap(
            name=singles.name,
            workload=singles.workload,
            settings=singles.settings,
            versions=singles.versions,
            bounds=singles.bounds,
            counts=self.plan.counts,
            firsts=len(self.firsts),
            unknown=sum(first.word == UNKNOWN for first in self.firsts.values()),
            classes=len(self.plan.classes),
            planned=sum(stands is None for stands in self.chosen.values()),
            seed=self.seed,
            controls=singles.controls.ran,
            void=singles.void,
            trials=singles.trials + sum(sum([*result.seen.values(), *result.unreached.values()]) for result in rows),
            seconds=round(singles.seconds, 1),
            complete=complete,
            part=singles.part or self.drawn < left,
            shard=str(self.options.shard or ""),
            rows=tuple(rows),
        )


def run_pairs(
    experiment: Experiment,
    options: Options,
    *,
    sample: int = 0,
    seed: int = 0,
    check: int = CHECKS,
) -> tuple[PairMap, int]:
    """Run a campaign of pairs of faults. Returns the pair map, and the number of the signal that ended the campaign
    early, or 0.

    When SIGINT or SIGTERM ends the campaign, the map has the results so far and is not complete. Raises the exceptions
    of `Campaign.run`.
    """
    signals: list[int] = []

    def stop(number: int) -> None:
        signals.append(number)
        campaign.stop()

    campaign = PairCampaign(experiment, options, sample=sample, seed=seed, check=check)
    with campaigning(options.emit, experiment.title), heeding(stop):
        try:
            found = campaign.run()
        except Stopped:
            found = campaign.pairs(complete=False)
    options.emit(CampaignEnded(experiment.title, found))
    return found, 0 if found.complete else signals[0]
