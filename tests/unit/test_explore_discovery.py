"""The points of a life: what all fault-free trials met, in one order, and once more in that order."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.explore.bounds import Bounds
from brownout.explore.campaign import DISCOVERIES, Campaign, NoMap, Options
from brownout.explore.cell import Cell, Point
from brownout.explore.discovery import discovered
from brownout.explore.found import Found
from brownout.explore.mission import STOCK
from brownout.history.layout import Layout

PUBLISH = Point("client->broker", "LPUSH celery")
DELIVER = Point("worker->broker", "BRPOP celery")
IDLE = Point("worker->broker", "BRPOP celery[idle]")
ASK = Point("client->backend", "GET meta")
STORE = Point("worker->backend", "SETEX meta")


def found(*points: Point, word: str = "once") -> Found:
    times = {point: 0.01 * n for n, point in enumerate(points)}
    samples = {point: ((point.command.encode(), b"key"),) for point in points}
    return Found(word, "", 0.1, (), points, samples, times, 0, 1.0)


def polled(times: int) -> tuple[Point, ...]:
    return tuple(replace(ASK, ordinal=n + 1) for n in range(times))


def test_only_what_all_trials_met_is_a_point_and_a_consumer_idles_first() -> None:
    one = found(PUBLISH, DELIVER, *polled(3), STORE)
    two = found(PUBLISH, DELIVER, *polled(2), STORE)
    there = discovered([one, two])
    assert set(there.points) == {IDLE, PUBLISH, DELIVER, *polled(2), STORE}
    assert there.points[0] == IDLE
    assert there.samples[IDLE] == ((b"BRPOP", b"celery", b"1"),), "none was met"
    assert discovered([replace(one, samples={IDLE: ((b"BRPOP", b"a", b"1"),)})]).samples[IDLE][0][1] == b"a"


def test_what_comes_at_the_same_time_has_one_order() -> None:
    """The worker's goes first, once the task is published."""
    assert discovered([found(PUBLISH, DELIVER, ASK, STORE)]).order == (PUBLISH, DELIVER, STORE, ASK)


def confirmed(*points: Point, word: str) -> Sequence[Point]:
    """What is discovered where three lives ask three times, and one in their order meets these points."""
    lives = iter([*[found(PUBLISH, DELIVER, *polled(3), STORE)] * DISCOVERIES, found(*points, word=word)])

    async def trial(_launcher: object, _schedule: Sequence[Cell] = ()) -> Found:
        return next(lives)

    async def ask(_launcher: object) -> tuple[Bounds, Layout]:
        return Bounds.of({}), Layout()

    mission = SimpleNamespace(application=STOCK, configuration=SimpleNamespace(settings={}))
    campaign = Campaign(cast("Any", mission), Options(), cast("Any", None))
    campaign.trial = trial  # type: ignore[method-assign, assignment]
    campaign.forked = cast("Any", None)

    async def discover() -> None:
        campaign._benches.put_nowait(cast("Any", SimpleNamespace(ask=ask)))
        await campaign.discover()

    asyncio.run(discover())
    assert campaign.discovery
    return campaign.discovery.points


def test_who_polls_may_ask_less_often_in_that_order() -> None:
    there = confirmed(PUBLISH, DELIVER, *polled(1), STORE, word="recovered")
    assert there == (IDLE, PUBLISH, DELIVER, STORE, *polled(1))


def test_a_life_that_ends_badly_in_that_order_has_no_map() -> None:
    with pytest.raises(NoMap, match="without any fault, in the order of 7 points: unread"):
        confirmed(PUBLISH, word="unread")
