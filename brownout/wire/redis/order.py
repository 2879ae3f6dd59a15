"""Keeps requests of different processes in the order of a trial without faults, until a fault strikes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from brownout.plan.point import Point

OVERDUE = 1.0  # seconds; a point that has waited this long for an earlier point passes before it


class Order:
    """Makes requests pass in the order of `points`. Use an Order only on the thread of the network proxy's event loop.
    The function `clock` (in seconds) measures how long a point waits."""

    def __init__(self, points: Sequence[Point], overdue: float, clock: Callable[[], float]) -> None:
        self.over = False  # Whether a fault has struck; after that no request waits for another request.
        # Points that have passed before an earlier point, after a wait of `overdue` seconds.
        self.disorder: list[Point] = []
        self.points, self._overdue, self._clock = points, overdue, clock
        self._answered: set[Point] = set()
        self._waiting: dict[Point, Callable[[], None]] = {}

    def early(self, point: Point) -> bool:
        """Whether the request of `point` must wait for earlier requests on other network edges.

        Points on an edge that has a point in `disorder` are not ordered any more, because the process of that edge
        polls.
        """
        if self.over or point not in self.points or any(late.edge == point.edge for late in self.disorder):
            return False
        before = self.points[: self.points.index(point)]
        return any(earlier.edge != point.edge and earlier not in self._answered for earlier in before)

    def wait(self, point: Point, go: Callable[[], None]) -> None:
        """Call the function `go` when the points before `point` have been answered, or after `overdue` seconds."""
        self._waiting[point] = go
        asyncio.get_running_loop().call_later(self._overdue, self._give_up, point, self._clock())

    def answered(self, point: Point) -> None:
        """Note that the answer to the request of `point` is about to pass; requests that waited for this answer may
        pass afterwards."""
        self._answered.add(point)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._release)

    def end(self) -> None:
        """Let all points pass that wait, because a fault begins and the order does not matter any more."""
        self.over = True
        asyncio.get_running_loop().call_soon(self._release)

    def forget(self) -> None:
        """Forget all points that wait, because the trial is over."""
        self._waiting.clear()

    def _give_up(self, point: Point, since: float) -> None:
        left = self._overdue - (self._clock() - since)
        if left > 0 and point in self._waiting:
            asyncio.get_running_loop().call_later(max(left, 0.01), self._give_up, point, since)
        elif go := self._waiting.pop(point, None):
            self.disorder.append(point)
            go()

    def _release(self) -> None:
        for point in [point for point in self._waiting if not self.early(point)]:
            if go := self._waiting.pop(point, None):
                go()
