"""What fault-free trials show: the points of a life, in one order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from brownout.explore.finding import Finding
from brownout.plan.point import IDLE, Point

TOGETHER = 0.05  # s; what is nearer than this may come in either order


@dataclass(frozen=True)
class Discovery:
    """What fault-free trials showed."""

    points: tuple[Point, ...]
    samples: Mapping[Point, tuple[tuple[bytes, ...], ...]]

    @property
    def order(self) -> tuple[Point, ...]:
        """The reference order: all points of a life but the idle ones."""
        return tuple(point for point in self.points if not point.label.endswith(IDLE))

    def within(self, met: Collection[Point]) -> Discovery:
        """Without what another trial did not meet; idle points are no part of a trace."""
        return replace(self, points=tuple(each for each in self.points if each.label.endswith(IDLE) or each in met))


def discovered(first: Sequence[Finding]) -> Discovery:
    """The points that all of these trials met."""
    common = set(first[0].points).intersection(*(each.points for each in first))
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
    """One order of what comes at the same time: the client lets the worker go first, once its task is published."""
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
