"""What the wire saw of a life: whether it took more than a life without a fault, and when it was acknowledged."""

from __future__ import annotations

import pytest

from brownout.plan.point import Point
from brownout.run.trace import Trace

LPUSH = Point("client->broker", "LPUSH celery")
ACK = Point("worker-1->broker", "ZREM unacked_index <tag>;HDEL unacked <tag>")
HELLO = Point("client->broker", "HELLO")
ORDER = (LPUSH, ACK)
S = 1_000_000_000


def trace(*points: Point, monitored: bool = False) -> Trace:
    """One point a second, from 1 s on."""
    hellos = frozenset(point for point in points if point.command == "HELLO")
    times = {point: float(n + 1) for n, point in enumerate(points)}
    return Trace(points, times, handshakes=hellos, monitored=hellos if monitored else frozenset())


def nth(point: Point, ordinal: int) -> Point:
    return Point(point.edge, point.label, ordinal)


@pytest.mark.parametrize(
    ("seen", "again"),
    [
        (trace(), False),
        (trace(*ORDER), False),
        (trace(LPUSH, nth(LPUSH, 2), ACK), True),  # it was sent again
        (trace(LPUSH, Point("worker-2->broker", "BRPOP celery"), ACK), False),  # new, and the first of its kind
        (trace(LPUSH, HELLO, ACK), True),  # somebody connected anew
        (trace(LPUSH, HELLO, ACK, monitored=True), False),  # whoever monitors may connect each time
        (trace(LPUSH, ACK, nth(LPUSH, 2)), False),  # only after the last effect or answer
    ],
)
def test_whether_a_life_took_more_than_one_without_a_fault(seen: Trace, again: bool) -> None:
    assert seen.again(ORDER, int(2.5 * S)) is again


def test_a_repetition_that_belongs_to_every_life_is_none() -> None:
    repeated = trace(LPUSH, nth(LPUSH, 2))
    assert not repeated.again((*ORDER, nth(LPUSH, 2)), 9 * S)


@pytest.mark.parametrize(
    ("points", "effect", "acked"),
    [
        ((LPUSH, ACK), 1 * S, "after"),  # the acknowledgement comes at 2 s
        ((LPUSH, ACK), 3 * S, "before"),
        ((LPUSH, ACK, nth(ACK, 2)), int(2.5 * S), "before"),  # the first one counts
        ((LPUSH,), 1 * S, ""),
        ((LPUSH, ACK), 0, ""),
    ],
)
def test_when_a_message_was_acknowledged(points: tuple[Point, ...], effect: int, acked: str) -> None:
    assert trace(*points).acked(effect) == acked
