"""Keeps what different processes ask in the order of a life without a fault, until a fault strikes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from brownout.plan.point import Point

OVERDUE = 1.0  # s; what has not come by then will not come: the order is given up for the point that waits for it


class Order:
    """On the wire's loop only. `clock` (s) measures how long a point waits."""

    def __init__(self, points: Sequence[Point], overdue: float, clock: Callable[[], float]) -> None:
        self.over = False  # a fault has struck, and from then on nothing waits
        self.disorder: list[Point] = []  # points that waited in vain
        self.points, self._overdue, self._clock = points, overdue, clock
        self._answered: set[Point] = set()
        self._waiting: dict[Point, Callable[[], None]] = {}

    def early(self, point: Point) -> bool:
        """Whether something else comes first. An edge that has waited in vain is one that polls: it keeps no order."""
        if self.over or point not in self.points or any(each.edge == point.edge for each in self.disorder):
            return False
        before = self.points[: self.points.index(point)]
        return any(each.edge != point.edge and each not in self._answered for each in before)

    def wait(self, point: Point, go: Callable[[], None]) -> None:
        """Call `go` when what comes before the point was answered, or when that is overdue."""
        self._waiting[point] = go
        asyncio.get_running_loop().call_later(self._overdue, self._give_up, point, self._clock())

    def answered(self, point: Point) -> None:
        """The answer to this point is about to pass; those that waited for it go after it."""
        self._answered.add(point)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._release)

    def end(self) -> None:
        """A fault strikes: the order has served."""
        self.over = True
        asyncio.get_running_loop().call_soon(self._release)

    def forget(self) -> None:
        """What waits will never go."""
        self._waiting.clear()

    def _give_up(self, point: Point, since: float) -> None:
        left = self._overdue - (self._clock() - since)
        if left > 0 and point in self._waiting:
            asyncio.get_running_loop().call_later(max(left, 0.01), self._give_up, point, since)
        elif go := self._waiting.pop(point, None):
            self.disorder.append(point)
            go()

    def _release(self) -> None:
        for point in [each for each in self._waiting if not self.early(each)]:
            if go := self._waiting.pop(point, None):
                go()
