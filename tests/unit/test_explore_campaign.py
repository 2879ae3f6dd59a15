"""Forked and cold processes: what differs once may be a race, and what always differs voids the map."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import cycle
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.explore import campaign as module
from brownout.explore.bounds import Bounds
from brownout.explore.campaign import RECONCILE, Campaign, Options
from brownout.explore.cell import Cell, Point
from brownout.explore.faultmap import FaultMap
from brownout.explore.found import Found
from brownout.explore.mission import HARDENED

CELL = Cell(Point("worker->broker", "ZADD unacked_index"), "before", "cut")


class Process:
    """A launcher that is told apart and closed."""

    async def close(self) -> None: ...


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FaultMap]:
    """A map of one cell, whose words come in turn from a forked and from a cold process."""
    monkeypatch.setattr(module, "Cold", Process)

    def compared(forked: Sequence[str], cold: Sequence[str]) -> FaultMap:
        words = {True: cycle(forked), False: cycle(cold)}

        async def trial(launcher: object, _schedule: Sequence[Cell] = ()) -> Any:
            word = next(words[launcher is made.forked]) if _schedule else "once"
            return Found(word, "", 0.0, (), (), {}, {}, 0, 0.0)

        configuration = SimpleNamespace(name="defaults", settings={})
        mission = SimpleNamespace(configuration=configuration, workload=SimpleNamespace(name="task"))
        made = Campaign(cast("Any", mission), Options(cold=1), cast("Any", None))
        made.forked, made.trial = cast("Any", Process()), trial  # type: ignore[method-assign, assignment]  # on paper
        made.planned = (CELL,)
        asyncio.run(made.attempt())
        return made.map(complete=True)

    return compared


def test_what_agrees_is_tried_once(compared: Callable[..., FaultMap]) -> None:
    found = compared(["lost"], ["lost"])
    assert (found.cells[0].seen, found.cold[0].cold, found.void) == ({"lost": 1}, ("lost",), ())


def test_a_race_is_found_and_declared_with_its_counts(compared: Callable[..., FaultMap]) -> None:
    found = compared(["once", "once", "duplicate"], ["duplicate"])
    assert found.cells[0].seen == {"once": 2, "duplicate": 1}
    assert found.cells[0].race
    assert found.void == ()


def test_what_always_differs_voids_the_map(compared: Callable[..., FaultMap]) -> None:
    found = compared(["once"], ["lost"])
    assert found.cells[0].seen == {"once": 1 + RECONCILE}
    assert found.void == (f"{CELL.full} differs between forked (once) and cold (lost) processes",)
    assert found.validity == "unknown"


@pytest.mark.parametrize(("settings", "first"), [(HARDENED.settings, "ack"), ({}, "never")])
def test_what_takes_longest_is_tried_first(settings: dict[str, Any], first: str) -> None:
    """A message that is not acked is waited for, where the broker gives it back soon."""
    ack = Point("worker->broker", "ZREM unacked_index;HDEL unacked")
    made = Campaign(cast("Any", None), Options(), cast("Any", None))
    made.bounds = Bounds.of(settings)
    cells = {"short": CELL, "ack": Cell(ack, "before", "cut"), "never": Cell(CELL.point, "after", "never")}
    assert sorted(cells, key=lambda name: made._place(cells[name]))[0] == first
    assert made._place(Cell(ack, "after", "cut")) == made._place(CELL)
