"""What one process of pytest keeps for the cells of fault maps: the points, and a bench to try them on."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest

from brownout.explore import baseline
from brownout.explore.campaign import DISCOVERIES, VERSIONS, Campaign, Options
from brownout.explore.cell import UNKNOWN, Cell, Point, names
from brownout.explore.discovery import Discovery
from brownout.explore.faultmap import CellResult, Controls, FaultMap
from brownout.explore.mission import Mission
from brownout.explore.session import called, explore
from brownout.run.store import environment, versions
from brownout.run.turns import Turns
from brownout.subject import ladder
from brownout.wire.wire import Wire

T = TypeVar("T")
UNFIT = "the stored trace no longer fits what is met ({}): pytest --cache-clear looks anew"


class Stand:
    """A mission's points and cells, and the bench on which its cells are tried one after the other."""

    def __init__(self, sitting: Sitting, mission: Mission, rung: ladder.Rung) -> None:
        self._sitting, self._mission, self._rung = sitting, mission, rung
        self._points: tuple[Point, ...] = ()
        self.cells: dict[str, Cell] = {}
        self._campaign: Campaign | None = None
        self._doubt = ""

    @property
    def title(self) -> str:
        """As a baseline names it."""
        return self.map().title

    def map(self, *results: CellResult) -> FaultMap:
        """These cells as a map."""
        config, load = self._mission.configuration.name, self._mission.workload.name
        return FaultMap(config, load, trace=self._points, cells=results, controls=Controls(1))

    def ruling(self, result: CellResult, accepted: Sequence[baseline.Accepted]) -> baseline.Ruling:
        """What the baseline makes of a cell."""
        return baseline.judge(self.map(result), accepted, datetime.now(UTC).date()).rulings[0]

    def look(self) -> None:
        """Learn the points, from the cache or from fault-free trials; one process does so, and others wait for it.

        Raises NoMap, and KeyboardInterrupt after it has cleaned up.
        """
        if self.cells:
            return
        place = self._sitting.place / f"{self._key()}.json"
        with place.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._know(place):
                return
            with self._sitting.turns.taken():
                found = explore(self._mission, self._options(DISCOVERIES), lambda _: ())
            if found.stopped:
                raise KeyboardInterrupt
            points, cells = ([each.full for each in found.map.trace], [each.full for each in found.possible.values()])
            new = place.with_suffix(".new")
            new.write_text(json.dumps({"points": points, "cells": cells}, indent=1))
            new.replace(place)
            self._know(place)

    def _know(self, place: Path) -> bool:
        """Whether the file could be read: there may be none, or one that was not written here."""
        try:
            kept = json.loads(place.read_bytes())
            points = tuple(map(Point.parse, kept["points"]))
            self._points, self.cells = points, called(points, map(Cell.parse, kept["cells"]))
        except (OSError, ValueError, KeyError):
            return False
        return True

    def _options(self, jobs: int) -> Options:
        return Options(jobs=jobs, cold=0, provider=self._rung.name)

    def _key(self) -> str:
        app, of = self._mission.application, self._mission
        facts = [
            environment(**versions(*VERSIONS)),
            [of.configuration.name, sorted(of.configuration.settings.items()), str(of.workload), of.task, of.args],
            [str(replace(app, effects=None, accepted=None)), sorted(app.env.items()), sorted(of.kwargs.items())],
        ]
        return hashlib.blake2b(json.dumps(facts, default=str).encode(), digest_size=8).hexdigest()

    def trial(self, cell: Cell) -> CellResult:
        """Try it once, in its turn. The first time, the bench is opened and a fault-free trial confirms the points."""
        with self._sitting.turns.taken():
            return self._trial(cell)

    def _trial(self, cell: Cell) -> CellResult:
        if self._campaign is None:
            campaign = Campaign(self._mission, self._options(1), self._sitting.wire)
            self._sitting.wait(self._open(campaign))
            self._campaign = campaign
        if self._doubt:
            return CellResult(cell, {f"{UNKNOWN}: {self._doubt}": 1})
        campaign = self._campaign
        before = campaign.repeats
        found = self._sitting.wait(campaign.lasting([cell]))
        word = found.seen
        if word.endswith("was not reached"):
            word += "; " + UNFIT.format("if it is so again")
        return replace(CellResult.of(cell, found), seen={word: 1}, repeats=campaign.repeats - before)

    async def _open(self, campaign: Campaign) -> None:
        await campaign.__aenter__()
        self._sitting.opened.append(campaign)
        await campaign.discover(Discovery(self._points, {}))
        life, differing = set(campaign.discovery.order if campaign.discovery else ()), set[Point]()
        for attempt in range(2):  # what differs once may be chance
            found = await campaign.lasting()
            if found.word not in ("once", "recovered"):
                self._doubt = f"without any fault: {found.reason}"
                return
            other = life ^ set(found.points)
            differing = differing & other if attempt else other
            if not differing:
                return
        self._doubt = UNFIT.format(", ".join(sorted(names(differing).values())))


class Sitting:
    """What one process of pytest keeps for all its cells, until it ends; registered as a plugin at collection."""

    NAME = "brownout-map"

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._wire: Wire | None = None
        self._rung: ladder.Rung | None = None
        self._stands: dict[str, Stand] = {}
        self.opened: list[Campaign] = []

    @classmethod
    def of(cls, config: pytest.Config) -> Sitting:
        """This process's."""
        found = config.pluginmanager.get_plugin(cls.NAME)
        if found is None:
            found = cls(config)
            config.pluginmanager.register(found, cls.NAME)
        assert isinstance(found, Sitting)
        return found

    def rung(self) -> ladder.Rung:
        """Which Redis; raises NoRedis."""
        from brownout.pytest_plugin import provider

        self._rung = self._rung or ladder.choose("local", provider(self._config))
        return self._rung

    @property
    def place(self) -> Path:
        """Where points are kept; without pytest's cache, in the store of traces."""
        from brownout.pytest_plugin import chosen as option

        if cache := getattr(self._config, "cache", None):
            return Path(cache.mkdir("brownout"))
        folder = self._config.rootpath / option(self._config, "chaos_store") / "maps"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def turns(self) -> Turns:
        """Those of the scenarios that leave their traces in the same store."""
        from brownout.pytest_plugin import chosen as option

        return Turns(self._config.rootpath / option(self._config, "chaos_store") / ".turns")

    @property
    def wire(self) -> Wire:
        """Started when it is first asked for."""
        self._wire = self._wire or Wire().start()
        return self._wire

    def stand(self, mission: Mission, rung: ladder.Rung) -> Stand:
        """One for equal missions."""
        return self._stands.setdefault(repr(mission), Stand(self, mission, rung))

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """On the wire's loop; an interruption ends the work, too."""
        task = asyncio.run_coroutine_threadsafe(work, self.wire.loop)
        try:
            return task.result()
        except BaseException:
            task.cancel()
            raise

    def pytest_unconfigure(self) -> None:
        """Close what is open."""

        async def close() -> None:
            async with AsyncExitStack() as stack:
                for campaign in self.opened:
                    stack.push_async_callback(campaign.__aexit__)

        if self._wire:
            self.wait(close())
            self._wire.close()
