"""What a conductor has seen, written down in a hurry and made into points when somebody asks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from brownout.plan.point import Point
from brownout.wire.redis.resp import Requests

Sample: TypeAlias = tuple[tuple[bytes, ...], ...]  # the commands of a request
#: When (ns), edge, label, ordinal, whether witnesses are to know, the bytes of a request or the error of an answer.
Line: TypeAlias = "tuple[int, str, str, int, bool, bytes | None, str | None]"


@dataclass(frozen=True)
class Seen:
    """Something on the wire, for witnesses."""

    at: int  # ns
    edge: str
    what: str
    telling: bool = False  # a fault, an error, or something that comes again


class Record:
    """Its lines are in the order in which things came, and so is everything that is made of them."""

    order: Sequence[Point] = ()  # a life without a fault

    def __init__(self) -> None:
        #: The lines of which nothing has been made yet, one behind the other: with an object for each, the garbage
        #: collector would cost as much as all else that is done with a request.
        self.jotted: list[object] = []
        self._trace: list[Point] = []
        self._seen: list[Seen] = []
        self._times: dict[Point, float] = {}
        self._samples: dict[Point, Sample] = {}

    @property
    def trace(self) -> list[Point]:
        """Every request and message that counts."""
        return self._read()._trace

    @property
    def seen(self) -> list[Seen]:
        """Those, their answers, and what else was noted."""
        return self._read()._seen

    @property
    def times(self) -> dict[Point, float]:
        """When each point came, by the monotonic clock, in seconds."""
        return self._read()._times

    @property
    def samples(self) -> dict[Point, Sample]:
        """The commands behind each point that is a request."""
        return self._read()._samples

    def _read(self) -> Record:
        if not self.jotted:
            return self
        jotted, self.jotted = iter(self.jotted), []
        usual = frozenset(self.order)
        for line in zip(*[jotted] * 7, strict=True):
            at, edge, label, ordinal, noting, raw, error = cast("Line", line)
            point = Point(edge, label, ordinal)
            if raw is not None:
                self._trace.append(point)
                self._times[point] = at / 1e9
                self._samples[point] = tuple(command.argv for command in Requests().feed(raw))
            if noting and raw is not None:
                self._seen.append(asked(at, point, usual))
            elif noting:
                self._seen.append(answered(at, point, error))
        return self


def asked(at: int, point: Point, usual: Collection[Point] = ()) -> Seen:
    """A request comes; telling when it comes once more than in a `usual` life."""
    again = point.ordinal > 1 and point not in usual
    return Seen(at, point.edge, point.label + (" again" if again else ""), again)


def answered(at: int, point: Point, error: str | None) -> Seen:
    """A request is answered, or a message comes."""
    return Seen(at, point.edge, f"{point.label} answered{f': {error}' if error else ''}", bool(error))
