"""What grows for ever, what only warms up, and what an outage makes grow for a while."""

from collections.abc import Iterable

import pytest

from brownout.check import promises as p
from brownout.check.registry import judge
from brownout.check.verdict import Verdict
from brownout.history.event import Event
from brownout.history.view import History

NS = 1_000_000_000


def life(connections: Iterable[int], process: str = "api", pid: int = 7) -> list[Event]:
    """One sample a second."""
    return [
        Event(n * NS, "run", "resources", pid=pid, data={
            "process": process, "megabytes": 90.0, "descriptors": 20, "connections": count,
        })
        for n, count in enumerate(connections)
    ]  # fmt: skip


def verdict(*lives: list[Event], of: str | None = None) -> Verdict:
    return judge(History(event for each in lives for event in each), p.nothing_leaks(lasting="30s", of=of))


@pytest.mark.parametrize(
    ("connections", "validity"),
    [
        (range(100), "invalid"),
        ([min(n, 20) * 10 for n in range(100)], "valid"),
        ([200 if 70 < n < 80 else 3 for n in range(100)], "valid"),
        ([200 if n > 60 else 3 for n in range(100)], "valid"),
        (range(0, 290, 10), "unknown"),
    ],
    ids=["grows", "warms-up", "outage", "one-jump", "short"],
)
def test_only_what_goes_on_growing_is_a_leak(connections: Iterable[int], validity: str) -> None:
    assert verdict(life(connections)).validity == validity


def test_each_life_is_judged_alone() -> None:
    """A process that is started again begins small, and hides no other."""
    first, second = life(range(100)), life([3] * 100, pid=8)
    assert [anomaly.kind for anomaly in verdict(first, second).anomalies] == ["leak"]


def test_the_promise_may_be_about_some_processes() -> None:
    lives = (life([3] * 100), life(range(100), "worker-1", 8))
    assert verdict(*lives, of="api").validity == "valid"
    assert verdict(*lives, of="worker").validity == "invalid"
    assert verdict(*lives, of="worker-2").validity == "unknown"
    (anomaly,) = verdict(*lives).anomalies
    assert anomaly.sentence == "worker-1 grew from 37 to 87 connections within 50 s; the limit is 24 more."


def test_what_is_seen_after_the_load_does_not_count() -> None:
    """After the load nothing more is kept, however long the drain takes."""
    heal = Event(100 * NS, "run", "phase", data={"name": "heal"})
    assert verdict(life([*range(100), *[100] * 300]), [heal]).validity == "invalid"
