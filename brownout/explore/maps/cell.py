"""One cell of a fault map: a point (a Redis request or its reply), a moment, and a failure at that point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from brownout.plan.point import MOMENTS, Moment, Point


@dataclass(frozen=True, order=True)
class Cell:
    """A point (a Redis request or its reply), a moment (before or after the server executes the request), and an
    action. Two cells of a map may have the same short name (`name`); the full name (`full`) is unique."""

    point: Point
    moment: Moment
    action: str

    @property
    def full(self) -> str:
        """The cell's name with the whole label of the fault point, as a map stores the name."""
        return f"{self.point.full}/{self.moment}-{self.action}"

    def __str__(self) -> str:
        return self.full

    @classmethod
    def parse(cls, text: str) -> Cell:
        """Read a cell from its full name. Raises ValueError for a text that is no full name of a cell."""
        point, _, rest = text.rpartition("/")
        moment, _, action = rest.partition("-")
        if moment not in MOMENTS or not action:
            raise ValueError(f"not a cell: {text!r} (edge/COMMAND key#ordinal/moment-action)")
        return cls(Point.parse(point), moment, action)


def names(points: Iterable[Point]) -> dict[Point, str]:
    """Return a name for each fault point: the short name, or the full name when two points share the short name."""
    points = tuple(dict.fromkeys(points))
    shorts = [point.short for point in points]
    return {point: point.short if shorts.count(point.short) == 1 else point.full for point in points}


def trial_name(*schedule: Cell) -> str:
    """Return the name of a trial: the names of its cells, or "without a fault"."""
    return " and ".join(cell.full for cell in schedule) or "without a fault"
