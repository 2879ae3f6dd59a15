"""A whole map: points from fault-free trials, then every cell, on several benches at once."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, Self

from brownout.explore.action import cells, chosen
from brownout.explore.bench import Bench
from brownout.explore.bounds import Bounds
from brownout.explore.cell import Cell
from brownout.explore.discovery import Discovery, discovered
from brownout.explore.faultmap import CellResult, Comparison, Controls, FaultMap
from brownout.explore.found import Found
from brownout.explore.launcher import Cold, Forked, Launcher
from brownout.explore.mission import STOCK, Mission
from brownout.explore.selection import select
from brownout.explore.together import together
from brownout.explore.trial import Trial
from brownout.history.layout import Layout, Unreadable
from brownout.run.store import versions
from brownout.subject import ladder
from brownout.subject.load import Load, load
from brownout.subject.redis_server import RungName
from brownout.wire.wire import Wire

DISCOVERIES = 3  # fault-free trials that the points must agree in
CONTROL_EVERY = 20  # cells to one fault-free control
COLD = 2  # cells that are tried with the cold command line, too
RECONCILE = 4  # times that both are tried again where they differ
ATTEMPTS = 3  # trials of a cell at most, while the machine is too busy for a verdict
BESIDE = 2  # repeated trials at once
BENCHES = 8  # for each core
VERSIONS = ("celery", "kombu", "redis", "hiredis", "billiard", "fastapi", "uvicorn", "uvloop")
Try = Callable[[], Coroutine[Any, Any, None]]
_NUMBERS = count()  # of the benches of this process: several maps may share its wire


class NoMap(RuntimeError):
    """There is nothing to draw a map of: the system does not even work without a fault."""


@dataclass
class Options:
    """How a map is made. `tell` is called with each result, in the order of their ends, `say` with a sentence."""

    actions: Collection[str] = ("standard",)
    points: Collection[str] = ()
    jobs: int = 0  # benches; 0: as many as suit the machine
    most: int = 0  # benches that are of use; 0: any number
    repeat: int = 1
    cold: int = COLD
    provider: RungName | None = None
    tell: Callable[[str, CellResult | None], None] = lambda _what, _result: None
    say: Callable[[str], None] = lambda _sentence: None


def jobs_for(found: Load) -> int:
    """Benches that suit the machine, beside what others do there: trials wait more than they work."""
    return max(2, math.ceil(BENCHES * found.share))


class Campaign:
    """Use it once, on the wire's loop: `await run()`. When that is cancelled, `map(complete=False)` has what there is.

    Its parts, for who wants something between them: `async with campaign`, then `discover`, set `planned`, `attempt`.
    """

    def __init__(self, mission: Mission, options: Options, wire: Wire) -> None:
        self.mission, self.options, self.wire = mission, options, wire
        self.found: dict[Cell, CellResult] = {}
        self.controls: list[Found] = []
        self.cold: dict[Cell, list[str]] = {}
        self.repeats = 0  # trials that were run again because the machine was busy
        self.discovery: Discovery | None = None
        self.bounds, self.layout = Bounds.of({}), Layout()
        self.planned: tuple[Cell, ...] = ()
        self._began = time.monotonic()
        self._benches: asyncio.Queue[Bench | Exception] = asyncio.Queue()
        self._opened: list[Bench] = []
        self._opening: list[asyncio.Future[None]] = []
        self._failed: list[str] = []  # why benches did not open
        self._doubtful: list[Try] = []  # to be tried again
        self._wrong: list[Exception] = []  # raised in callbacks of the loop

    async def run(self) -> FaultMap:
        """Discover, try every cell, control, compare. Raises NoMap, NoRedis, UnknownName for a filter without fit."""
        async with self:
            await self.discover()
            self.planned = select(self.possible(self.options.actions), self.options.points)
            await self.attempt()
        return self.map(complete=True)

    async def __aenter__(self) -> Self:
        """Start the benches, which go on to open in the background. Raises NoRedis."""
        rung = ladder.choose("local", self.options.provider)
        self.options.tell("discover", None)
        jobs = self.options.jobs or await self._suitable()
        asyncio.get_running_loop().set_exception_handler(self._heard)
        self._opened = [Bench(self.mission, number, self.wire, rung) for number in islice(_NUMBERS, jobs)]
        self._opening = [asyncio.ensure_future(self._open(bench)) for bench in self._opened]
        try:
            self.forked = await Forked.start(scout=scouted(self.mission))
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._close()
        finally:
            await self.forked.close()

    async def _suitable(self) -> int:
        """How many benches, by the load that is there before anything is started."""
        found = await asyncio.to_thread(load)
        usual, jobs = jobs_for(Load(found.cores)), jobs_for(found)
        if self.options.most:
            usual, jobs = min(usual, self.options.most), min(jobs, self.options.most)
        if jobs < usual:
            self.options.say(f"{jobs} trials at once instead of {usual}: {found}")
        return jobs

    async def _close(self) -> None:
        await asyncio.gather(*self._opening)  # `_open` reads their errors
        closed = await asyncio.gather(*(bench.close() for bench in self._opened), return_exceptions=True)
        for bench, wrong in zip(self._opened, closed, strict=True):
            if isinstance(wrong, BaseException):
                self.options.say(f"bench {bench.number} was not closed as it should be: {_short(wrong)}")

    async def _open(self, bench: Bench) -> None:
        """A bench that does not open is left out. When none opens, whoever waits for a bench is told."""
        try:
            await bench.open()
        except Exception as wrong:
            self._failed.append(_short(wrong))
            self.options.say(f"bench {bench.number} did not open and is left out: {_short(wrong)}")
            if len(self._failed) == len(self._opened):
                none = NoMap(f"no bench could be opened: {_short(wrong)}")
                none.__cause__ = wrong
                self._benches.put_nowait(none)
        else:
            self._benches.put_nowait(bench)

    @asynccontextmanager
    async def _bench(self) -> AsyncIterator[Bench]:
        got = await self._benches.get()
        try:
            if isinstance(got, Exception):
                raise got
            yield got
        finally:
            self._benches.put_nowait(got)

    async def discover(self, known: Discovery | None = None) -> None:
        """Learn the bounds and the layout, and the points unless `known`.

        Raises NoMap when it does not even work without a fault, or nobody knows in which keys the messages lie.
        """
        async with self._bench() as bench:
            try:
                self.bounds, self.layout = await bench.ask(self.forked)
            except Unreadable as reason:
                raise NoMap(str(reason)) from reason
        self.discovery = known or await self._discover()
        if not known:
            self.discovery = await self._confirmed(self.discovery)

    async def _confirmed(self, found: Discovery) -> Discovery:
        """Once more, in the order that was found: whoever polls may ask less often then."""
        there = await self.lasting()
        if there.word not in ("once", "recovered"):
            raise NoMap(f"without any fault, in the order of {len(found.points)} points: {there.told}")
        return found.within(there.points)

    async def _discover(self) -> Discovery:
        first = await together(self.lasting() for _ in range(DISCOVERIES))
        for each in first:
            if each.word not in ("once", "recovered"):
                raise NoMap(f"without any fault: {each.told}")
            self._in_force(each)
        return discovered(first)

    def _in_force(self, found: Found) -> None:
        """The trace shows late acks where they were asked for: Celery may have copied a setting before it was laid."""
        wanted = self.mission.configuration.settings.get(
            "task_acks_late", False if self.mission.application == STOCK else None
        )
        if wanted is not None and found.acked and found.acked != ("after" if wanted else "before"):
            raise NoMap(f"the configuration is not in force: a message is acknowledged {found.acked} its effect")

    def possible(self, actions: Collection[str] = ("all",)) -> tuple[Cell, ...]:
        """Every cell that makes sense at what was discovered."""
        assert self.discovery
        return cells(self.discovery.points, self.discovery.samples, chosen(actions))

    async def attempt(self) -> None:
        """Try all that is planned, with the controls and the comparisons that belong to it."""
        todo = sorted(self.planned * self.options.repeat, key=self._place)
        sample = set(_spread(self.planned, self.options.cold))
        tries = self._controlled([partial(self._cell, cell) for cell in todo])
        tries[1:1] = [partial(self._cold, cell) for cell in sample]
        await together(each() for each in tries)
        await self._try_again()
        await together(map(self._reconcile, self.cold))
        await self._try_again()

    def _place(self, cell: Cell) -> int:
        """The long trials first, so that no bench ends alone. What is not acked may be given back, in time."""
        if self.bounds.recover and cell.moment == "before" and cell.point.label.startswith("ZREM unacked_index"):
            return 0
        return {"never": 0, "held": 1, "late": 1, "restart-broker": 2}.get(cell.action, 3)

    async def _reconcile(self, cell: Cell) -> None:
        """What differs between forked and cold processes may be a race: then both show each other's words in time."""
        for _ in range(RECONCILE):
            if not self._compared(cell).differs:
                return
            await together((self._cell(cell), self._cold(cell)))

    def _compared(self, cell: Cell) -> Comparison:
        return Comparison(cell.full, self.found[cell].words, tuple(dict.fromkeys(self.cold[cell])))

    def _doubted(self, found: Found, attempt: int, again: Try) -> bool:
        """Whether the trial will be run again, because the machine was too busy for a verdict."""
        if not found.busy or attempt >= ATTEMPTS:
            return False
        self.repeats += 1
        self._doubtful.append(again)
        self.options.tell("again", None)
        return True

    async def _try_again(self) -> None:
        """What was in doubt, with few trials at once, when all others are over."""
        while self._doubtful:
            todo, self._doubtful = self._doubtful, []
            few = asyncio.Semaphore(BESIDE)

            async def calmly(one: Try, few: asyncio.Semaphore = few) -> None:
                async with few:
                    await one()

            await together(map(calmly, todo))

    def _controlled(self, tries: Sequence[Try]) -> list[Try]:
        """With fault-free trials in between."""
        mixed: list[Try] = []
        for n, each in enumerate(tries):
            mixed += [each] if n % CONTROL_EVERY else [self._control, each]
        return mixed

    async def trial(self, launcher: Launcher, schedule: Sequence[Cell] = ()) -> Found:
        """One trial, as soon as a bench is free."""
        async with self._bench() as bench:
            order = self.discovery.order if self.discovery else ()
            trial = Trial(bench, launcher, schedule, bounds=self.bounds, order=order, layout=self.layout)
            return await self._judged(trial)

    async def _judged(self, trial: Trial) -> Found:
        """Run it. A callback of the loop that failed meanwhile may have been the trial's, so there is no verdict."""
        known = len(self._wrong)
        found = await trial.run()
        return found.void(self._wrong[known]) if self._wrong[known:] else found

    def _heard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The loop tells of an error that nobody caught. That of a task is read by whoever waits for the task."""
        wrong = context.get("exception")
        if isinstance(wrong, Exception) and not isinstance(wrong, OSError) and not context.keys() & {"task", "future"}:
            self._wrong.append(wrong)
        loop.default_exception_handler(context)

    async def lasting(self, schedule: Sequence[Cell] = ()) -> Found:
        """One trial, which is run again at once while the machine is too busy for a verdict. `repeats` counts them."""
        for _ in range(ATTEMPTS - 1):
            found = await self.trial(self.forked, schedule)
            if not found.busy:
                return found
            self.repeats += 1
        return await self.trial(self.forked, schedule)

    async def _control(self, attempt: int = 1) -> None:
        found = await self.trial(self.forked)
        if not self._doubted(found, attempt, partial(self._control, attempt + 1)):
            self.controls.append(found)
            self.options.tell("control", None)

    async def _cell(self, cell: Cell, attempt: int = 1) -> None:
        found = await self.trial(self.forked, [cell])
        if self._doubted(found, attempt, partial(self._cell, cell, attempt + 1)):
            return
        result = replace(CellResult.of(cell, found), repeats=attempt - 1)
        self.found[cell] = self.found[cell].merged(result) if cell in self.found else result
        self.options.tell("cell", result)

    async def _cold(self, cell: Cell, attempt: int = 1) -> None:
        cold = Cold()
        try:
            found = await self.trial(cold, [cell])
        finally:
            await cold.close()
        if self._doubted(found, attempt, partial(self._cold, cell, attempt + 1)):
            return
        self.cold.setdefault(cell, []).append(found.seen)

    def map(self, *, complete: bool) -> FaultMap:
        """What was found so far."""
        known = self.discovery
        bad = tuple(each.reason for each in self.controls if each.word not in ("once", "recovered"))
        return FaultMap(
            name=self.mission.configuration.name,
            workload=self.mission.workload.name,
            settings=dict(self.mission.configuration.settings),
            versions=versions(*VERSIONS),
            bounds=_bounds(self.bounds),
            trace=known.points if known else (),
            cells=tuple(self.found[cell] for cell in self.planned if cell in self.found),
            controls=Controls(len(self.controls), bad),
            repeats=self.repeats,
            cold=tuple(self._compared(cell) for cell in self.cold if cell in self.found),
            seconds=time.monotonic() - self._began,
            complete=complete,
        )


def _short(wrong: BaseException) -> str:
    """Its kind and the first line of its message."""
    return f"{type(wrong).__name__}: {str(wrong).partition(chr(10))[0]}"


def _bounds(bounds: Bounds) -> dict[str, float]:
    return {
        "held": bounds.held,
        "probe": bounds.probe,
        "result": bounds.result,
        "recover": bounds.recover,
        "republished": bounds.republished,
    } | {f"longer: {name}": value for name, value in bounds.beyond.items()}


def scouted(mission: Mission) -> tuple[tuple[str, ...], Mapping[str, str], Path]:
    """What the forking process has to find the libraries by: the application's modules and environment."""
    app, nowhere = mission.application, "127.0.0.1:1"
    modules = [str(app.celery).partition(":")[0], "brownout.explore.caller", *app.relay[:1]]
    if app.api:
        modules += [app.api.partition(":")[0], "brownout.history.api_tap"]
    return tuple(modules), mission.environment("scout", nowhere, nowhere, Path(os.devnull)), mission.root


def _spread(planned: Sequence[Cell], count: int) -> Sequence[Cell]:
    """Some of them, from all over the map."""
    return planned[:: max(1, len(planned) // count)][:count] if count else ()
