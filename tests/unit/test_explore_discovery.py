"""The points of a life: what all fault-free trials met, in one order, and once more in that order."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from brownout.explore import campaign as module
from brownout.explore.campaign import DISCOVERIES, Campaign
from brownout.explore.discovery import discovered
from brownout.explore.experiment import STOCK
from brownout.explore.finding import Finding
from brownout.explore.options import NoMap, Options
from brownout.explore.trials import Job
from brownout.plan.point import Point

PUBLISH = Point("client->broker", "LPUSH celery")
DELIVER = Point("worker->broker", "BRPOP celery")
IDLE = Point("worker->broker", "BRPOP celery[idle]")
ASK = Point("client->backend", "GET meta")
STORE = Point("worker->backend", "SETEX meta")


def found(*points: Point, word: str = "once") -> Finding:
    times = {point: 0.01 * n for n, point in enumerate(points)}
    samples = {point: ((point.command.encode(), b"key"),) for point in points}
    return Finding(word, points=points, samples=samples, times=times)


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


def confirmed(monkeypatch: pytest.MonkeyPatch, *points: Point, word: str) -> Sequence[Point]:
    """What is discovered where three lives ask three times, and one in their order meets these points."""
    lives = iter([*[found(PUBLISH, DELIVER, *polled(3), STORE)] * DISCOVERIES, found(*points, word=word)])

    def together(jobs: Iterable[Job]) -> None:
        for job in jobs:
            job()

    told = SimpleNamespace(conf={}, layout={"queues": ["celery"]})
    monkeypatch.setattr(module, "surface", lambda *_: told)
    for name in ("plan_of", "topology_of"):
        monkeypatch.setattr(module, name, lambda *_: SimpleNamespace(settings_json=""))
    experiment = SimpleNamespace(application=STOCK, configuration=SimpleNamespace(settings={}), root=None)
    campaign = Campaign(cast("Any", experiment), Options())
    trials = SimpleNamespace(trial=lambda *_: next(lives), forked="forked", together=together)
    campaign.trials = cast("Any", trials)
    campaign.discover()
    assert campaign.discovery
    return campaign.discovery.points


def test_who_polls_may_ask_less_often_in_that_order(monkeypatch: pytest.MonkeyPatch) -> None:
    there = confirmed(monkeypatch, PUBLISH, DELIVER, *polled(1), STORE, word="recovered")
    assert there == (IDLE, PUBLISH, DELIVER, STORE, *polled(1))


def test_a_life_that_ends_badly_in_that_order_has_no_map(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoMap, match="without any fault, in the order of 7 points: unread"):
        confirmed(monkeypatch, PUBLISH, word="unread")
