"""Finds the fault points (Redis requests and replies) that a task meets in trials without a fault, and puts them into
one order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from brownout.explore.finding import Finding
from brownout.plan.point import IDLE, Point

TOGETHER = 0.05  # seconds; two fault points that come within this time of each other may come in either order


@dataclass(frozen=True)
class Discovery:
    """The fault points that fault-free trials met, and samples of the commands at each fault point."""

    points: tuple[Point, ...]
    samples: Mapping[Point, tuple[tuple[bytes, ...], ...]]

    @property
    def order(self) -> tuple[Point, ...]:
        """All fault points except those of an idle BRPOP, in the order in which the proxy lets their requests pass."""
        return tuple(point for point in self.points if not point.label.endswith(IDLE))

    def within(self, met: Collection[Point]) -> Discovery:
        """Return the discovery without those fault points that the other trial did not meet. Fault points of an idle
        BRPOP are kept, because no trial records them."""
        return replace(self, points=tuple(point for point in self.points if point.label.endswith(IDLE) or point in met))


def discovered(first: Sequence[Finding]) -> Discovery:
    """Return the fault points that every one of these trials met, and the points of an idle BRPOP."""
    common = set(first[0].points).intersection(*(finding.points for finding in first))
    order = _settled([point for point in first[0].points if point in common], first[0].times)
    idle = [Point(edge, f"BRPOP {label}{IDLE}") for edge, label in _consumers(order)]
    samples = {**first[0].samples}
    for point in idle:
        samples[point] = next(
            (commands for seen, commands in samples.items() if seen.edge == point.edge and seen.label == point.label),
            ((b"BRPOP", point.label.removeprefix("BRPOP ").removesuffix(IDLE).encode(), b"1"),),
        )
    return Discovery(tuple(idle + order), samples)


def _settled(points: Sequence[Point], times: Mapping[Point, float]) -> list[Point]:
    """Return a fixed order, also for fault points that come at the same time: after the task is published, the worker's
    points come first and the client's later."""
    order: list[Point] = []
    waiting: list[Point] = []
    published = False
    for point in points:
        while waiting and times[point] - times[waiting[0]] > TOGETHER:
            order.append(waiting.pop(0))
        if published and point.edge.startswith("client"):
            waiting.append(point)
        else:
            order.append(point)
        published = published or point.command in ("BRPOP", "BLPOP")
    return order + waiting


def _consumers(order: Sequence[Point]) -> list[tuple[str, str]]:
    found = [(point.edge, point.label.removeprefix("BRPOP ")) for point in order if point.command == "BRPOP"]
    return list(dict.fromkeys(found))
