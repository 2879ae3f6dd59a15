"""The points of a life: what all fault-free trials met, in one order, and once more in that order."""

from collections.abc import Iterable, Mapping, Sequence
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
    return explored(monkeypatch, [found(PUBLISH, DELIVER, *polled(3), STORE)] * DISCOVERIES, found(*points, word=word))


def explored(
    monkeypatch: pytest.MonkeyPatch, first: Sequence[Finding], *more: Finding, settings: Mapping[str, Any] | None = None
) -> Sequence[Point]:
    """The points that are discovered when the trials find `first`, then `more`; every one of these trials is run."""
    lives = iter([*first, *more])

    def together(jobs: Iterable[Job]) -> None:
        for job in jobs:
            job()

    told = SimpleNamespace(conf={}, layout={"queues": ["celery"]}, versions={})
    monkeypatch.setattr(module, "surface", lambda *_: told)
    for name in ("plan_of", "topology_of"):
        monkeypatch.setattr(module, name, lambda *_: SimpleNamespace(settings_json=""))
    configuration = SimpleNamespace(settings=settings or {})
    experiment = SimpleNamespace(application=STOCK, configuration=configuration, root=None, results=True)
    campaign = Campaign(cast("Any", experiment), Options())
    trials = SimpleNamespace(trial=lambda *_: next(lives), forked="forked", together=together)
    campaign.trials = cast("Any", trials)
    campaign.discover()
    assert next(lives, None) is None
    assert campaign.discovery
    return campaign.discovery.points


def test_who_polls_may_ask_less_often_in_that_order(monkeypatch: pytest.MonkeyPatch) -> None:
    there = confirmed(monkeypatch, PUBLISH, DELIVER, *polled(1), STORE, word="recovered")
    assert there == (IDLE, PUBLISH, DELIVER, STORE, *polled(1))


def test_a_life_that_ends_badly_in_that_order_has_no_map(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoMap, match="without any fault, in the order of 7 points: unread"):
        confirmed(monkeypatch, PUBLISH, word="unread")


LIFE = found(PUBLISH, DELIVER, STORE)
EARLY, LATE = replace(LIFE, acked="before"), replace(LIFE, acked="after")


@pytest.mark.parametrize("first", [[LATE, LATE, EARLY], [EARLY, EARLY, EARLY]], ids=["one early", "all early"])
def test_an_early_acknowledgement_may_come_late_on_a_busy_machine(
    monkeypatch: pytest.MonkeyPatch, first: list[Finding]
) -> None:
    assert explored(monkeypatch, first, LIFE) == (IDLE, PUBLISH, DELIVER, STORE)


def test_only_trials_that_run_alone_show_that_early_acknowledgements_are_not_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert explored(monkeypatch, [LATE] * DISCOVERIES, LATE, EARLY, LIFE) == (IDLE, PUBLISH, DELIVER, STORE)
    with pytest.raises(NoMap, match="not in force: a message is acknowledged after its effect"):
        explored(monkeypatch, [LATE] * DISCOVERIES, LATE, LATE, LATE)


def test_one_acknowledgement_before_the_effect_shows_that_late_acknowledgements_are_not_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = {"task_acks_late": True}
    assert explored(monkeypatch, [LATE] * DISCOVERIES, LIFE, settings=late) == (IDLE, PUBLISH, DELIVER, STORE)
    with pytest.raises(NoMap, match="not in force: a message is acknowledged before its effect"):
        explored(monkeypatch, [LATE, LATE, EARLY], settings=late)
