"""Pairs of faults: every single one for its recovery, then a second one in each recovery, on several benches."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from brownout.explore.campaign import Campaign, Options
from brownout.explore.cell import UNKNOWN, Cell
from brownout.explore.faultmap import CellResult
from brownout.explore.found import Found
from brownout.explore.launcher import Launcher
from brownout.explore.mission import Mission
from brownout.explore.pairs import CHECKS, First, Pair, Plan, later, plan
from brownout.explore.pairs_map import PairMap, PairResult
from brownout.explore.pairs_trial import PairTrial
from brownout.explore.selection import select
from brownout.explore.session import Progress, heeding
from brownout.explore.together import together
from brownout.wire.wire import Wire

CHECKED = 4  # of a sample, one check to so many pairs at most
LONG = ("never", "held", "late", "restart-broker")  # the longest first, so that no bench ends alone
Key = tuple[Cell, Cell]


class PairCampaign(Campaign):
    """Use it once, on the wire's loop: `await explore()`. When that is cancelled, `pairs(complete=False)` has the rest.

    Its `options` choose the first faults. `sample` is how many pairs to try (0: all that the plan has), evenly from all
    classes; `seed` chooses them, and the members that the merging is checked with; at most `check` pairs of each.
    """

    def __init__(
        self, mission: Mission, options: Options, wire: Wire, *, sample: int = 0, seed: int = 0, check: int = CHECKS
    ) -> None:
        super().__init__(mission, options, wire)
        self.sample, self.seed, self.check = sample, seed, check
        self.firsts: dict[Cell, First] = {}
        self.ordinary: set[str] = set()  # spots of lives without a fault
        self.plan = Plan({}, ())
        self.chosen: Mapping[Pair, Pair | None] = {}  # and what stands for it, where it is a check
        self.rows: dict[Key, PairResult] = {}

    async def explore(self) -> PairMap:
        """Single faults, the plan, its pairs, the checks. Raises what `Campaign.run` raises."""
        async with self:
            await self.discover()
            self.planned = select(self.possible(self.options.actions), self.options.points)
            self.options.tell("single faults", None)
            await self.attempt()
            self.choose()
            self.options.tell("pairs", None)
            await self._all(self.chosen)
            await self._all(self._disagreeing())  # once more
        return self.pairs(complete=True)

    def choose(self) -> None:
        """Make the plan from the single faults that have a verdict."""
        self.plan = plan((each for each in self.firsts.values() if each.word != UNKNOWN), self.ordinary)
        pairs = self.plan.sample(self.sample, self.seed)
        most = max(1, self.sample // CHECKED) if self.sample else 0
        checks = self.plan.checks(set(pairs), self.seed, self.check, most) if self.check else {}
        self.chosen = dict.fromkeys(pairs) | checks

    async def trial(self, launcher: Launcher, schedule: Sequence[Cell] = ()) -> Found:
        """See Campaign; what the trial met is kept."""
        async with self._bench() as bench:
            order = self.discovery.order if self.discovery else ()
            trial = PairTrial(bench, launcher, schedule, bounds=self.bounds, order=order, layout=self.layout)
            found = await self._judged(trial)
        steps = tuple(trial.tracer.steps())
        if not schedule:
            self.ordinary |= {step.spot for step in (*steps, *trial.tracer.opened())}
        elif len(schedule) == 1 and launcher is self.forked:
            cell = schedule[0]
            self.firsts[cell] = First(cell, found.word, later(cell, steps), found.samples)
        return found

    async def _all(self, pairs: Mapping[Pair, Pair | None] | Sequence[Pair]) -> None:
        def rank(pair: Pair) -> int:
            actions = (pair.first.action, pair.second.action)
            return min(LONG.index(each) if each in LONG else len(LONG) for each in actions)

        todo = sorted(dict.fromkeys(pairs), key=rank)
        await together(each() for each in self._controlled([partial(self._pair, pair) for pair in todo]))
        await self._try_again()

    async def _pair(self, pair: Pair, attempt: int = 1) -> None:
        found = await self.trial(self.forked, [pair.first, pair.second])
        if self._doubted(found, attempt, partial(self._pair, pair, attempt + 1)):
            return
        both = found.word == UNKNOWN or found.reached > 1
        stands = self.chosen.get(pair)
        result = PairResult(
            pair,
            seen={found.seen: 1} if both else {},
            unreached={} if both else {found.seen: 1},
            seconds=round(found.seconds, 3),
            note=found.why,
            instead=stands.first if stands else None,
        )
        if result.verdict != "valid":
            result = replace(result, witness=found.witness)
        key = (pair.first, pair.second)
        self.rows[key] = self.rows[key].merged(result) if key in self.rows else result
        self.options.tell("pair", CellResult(pair.second, {found.seen: 1}))

    def _disagreeing(self) -> list[Pair]:
        checks = [each for each in self.pairs(complete=True).checks if each.word == "disagrees"]
        return [result.pair for check in checks for result in (check.member, check.stands)]

    def pairs(self, *, complete: bool) -> PairMap:
        """What was found so far."""
        singles = self.map(complete=complete)
        rows = [self.rows[key] for pair in self.chosen if (key := (pair.first, pair.second)) in self.rows]
        return PairMap(
            name=singles.name,
            workload=singles.workload,
            settings=singles.settings,
            versions=singles.versions,
            bounds=singles.bounds,
            counts=self.plan.counts,
            firsts=len(self.firsts),
            unknown=sum(each.word == UNKNOWN for each in self.firsts.values()),
            classes=len(self.plan.classes),
            planned=sum(stands is None for stands in self.chosen.values()),
            seed=self.seed,
            controls=singles.controls.ran,
            void=singles.void,
            trials=singles.trials + sum(sum([*each.seen.values(), *each.unreached.values()]) for each in rows),
            seconds=round(singles.seconds, 1),
            complete=complete,
            rows=tuple(rows),
        )


def run_pairs(
    mission: Mission,
    options: Options,
    *,
    sample: int = 0,
    seed: int = 0,
    check: int = CHECKS,
    progress: Progress | None = None,
) -> PairMap:
    """Carry a PairCampaign out from a thread that waits; the rest when SIGINT or SIGTERM ends it early, not complete.

    `options.tell` hears of "single faults" and "pairs" when they begin, and of each "cell" and "pair"; `progress` is
    drawn. Raises what Campaign.run raises.
    """
    progress = progress or Progress()
    with Wire() as wire:

        def tell(what: str, result: CellResult | None) -> None:
            if what == "single faults":
                progress.total = len(campaign.planned)
            elif what == "pairs":
                progress.total += len(campaign.chosen)
            progress.tell("cell" if what == "pair" else what, result)
            options.tell(what, result)

        said = replace(options, tell=tell, say=progress.say)
        campaign = PairCampaign(mission, said, wire, sample=sample, seed=seed, check=check)
        task = wire.run(lambda: wire.loop.create_task(campaign.explore()))
        over = asyncio.run_coroutine_threadsafe(asyncio.wait([task]), wire.loop)

        def stop(_: int) -> None:
            wire.loop.call_soon_threadsafe(task.cancel)

        with heeding(stop):
            while not over.done():
                progress.draw()
                concurrent.futures.wait([over], timeout=progress.every)
        progress.wipe()
        return campaign.pairs(complete=False) if task.cancelled() else task.result()
