"""One square of the map: where on the wire, at which moment, what goes wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from brownout.plan.point import MOMENTS, Moment, Point


@dataclass(frozen=True, order=True)
class Cell:
    """A point, a moment and an action. `name` is unique in a map and short where that is possible."""

    point: Point
    moment: Moment
    action: str

    @property
    def full(self) -> str:
        """With the whole label of the point: what a map stores."""
        return f"{self.point.full}/{self.moment}-{self.action}"

    def __str__(self) -> str:
        return self.full

    @classmethod
    def parse(cls, text: str) -> Cell:
        """From `full`; ValueError for anything else."""
        point, _, rest = text.rpartition("/")
        moment, _, action = rest.partition("-")
        if moment not in MOMENTS or not action:
            raise ValueError(f"not a cell: {text!r} (edge/COMMAND key#ordinal/moment-action)")
        return cls(Point.parse(point), moment, action)


def names(points: Iterable[Point]) -> dict[Point, str]:
    """The short name of each point, and the full one where two would share the short one."""
    points = tuple(dict.fromkeys(points))
    shorts = [point.short for point in points]
    return {point: point.short if shorts.count(point.short) == 1 else point.full for point in points}
