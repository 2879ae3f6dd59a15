"""The record of all requests and answers; they are stored as plain values, and converted to points only on demand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from brownout.plan.point import Point
from brownout.wire.redis.resp import Requests

Sample: TypeAlias = tuple[tuple[bytes, ...], ...]  # The commands of one request, each with its arguments.
#: One request or answer: time (ns), edge, label, ordinal, whether reports may show it, the bytes of a request, the
#: error of an answer.
Line: TypeAlias = "tuple[int, str, str, int, bool, bytes | None, str | None]"


@dataclass(frozen=True)
class Seen:
    """A Redis request or answer, as a report shows it among the lines that prove an outcome."""

    at: int  # the time of the request or answer in ns
    edge: str
    what: str
    telling: bool = False  # whether a report shows this first: a fault, an error, or a request that was sent again


class Record:
    """All Redis requests and answers of a trial, in the order in which they came."""

    order: Sequence[Point] = ()  # the points that an operation meets in a trial without a fault

    def __init__(self) -> None:
        #: The fields of all lines that were not read yet are in one flat list: with an object for each line, garbage
        #: collection would take as long as all other work for a request.
        self.jotted: list[object] = []
        self._trace: list[Point] = []
        self._seen: list[Seen] = []
        self._times: dict[Point, float] = {}
        self._samples: dict[Point, Sample] = {}

    @property
    def trace(self) -> list[Point]:
        """The points of all counted requests and messages, in order."""
        return self._read()._trace

    @property
    def seen(self) -> list[Seen]:
        """The requests, messages and answers that a report may show, in order."""
        return self._read()._seen

    @property
    def times(self) -> dict[Point, float]:
        """The time (s, monotonic clock) at which the request of each point came."""
        return self._read()._times

    @property
    def samples(self) -> dict[Point, Sample]:
        """For each point that is a request: the commands that were recorded there."""
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
                self._seen.append(request_seen(at, point, usual))
            elif noting:
                self._seen.append(answer_seen(at, point, error))
        return self


def request_seen(at: int, point: Point, usual: Collection[Point] = ()) -> Seen:
    """Return the record of a request. The field `telling` of the record (it is shown to people) is true for a repeated
    request whose point is not in `usual`."""
    again = point.ordinal > 1 and point not in usual
    return Seen(at, point.edge, point.label + (" again" if again else ""), again)


def answer_seen(at: int, point: Point, error: str | None) -> Seen:
    """Return the record of an answer or a message. The record's field `telling` is true for an error."""
    return Seen(at, point.edge, f"{point.label} answered{f': {error}' if error else ''}", bool(error))
