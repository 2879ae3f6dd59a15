"""What the wire saw of one trial: the points of the operation's life, in their order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from brownout.plan.point import Point, Step
from brownout.wire.redis.record import Sample, Seen

WAITED = 0.9  # of the time for which a reply is held: an operation that took so long has waited for it


@dataclass(frozen=True)
class Trace:
    """`points` in order, `times` (s, monotonic clock) when each came, `samples` the commands at each point.

    `struck` is at how many points a fault struck; `seen` is for witnesses. `steps` are the points once more, each
    handshake with what its connection is for, without connections that a clock or a probe alone asked for. `opened`
    has one handshake of each connection that was opened since the load began, whether its points count or not.
    """

    points: tuple[Point, ...] = ()
    times: Mapping[Point, float] = field(default_factory=dict)
    samples: Mapping[Point, Sample] = field(default_factory=dict)
    struck: int = 0
    seen: tuple[Seen, ...] = ()
    handshakes: frozenset[Point] = frozenset()  # which of the points begin a new connection
    monitored: frozenset[Point] = frozenset()  # which of those a clock may have asked for
    steps: tuple[Step, ...] = ()
    opened: tuple[Step, ...] = ()

    def again(self, order: Collection[Point], until: int) -> bool:
        """Whether, until that time (ns), another try or connection came: a life without a fault has none."""
        new = (point for point in self.points if point not in order and self.times[point] * 1e9 <= until)
        return any(self._connects(point) if point in self.handshakes else point.ordinal > 1 for point in new)

    def _connects(self, point: Point) -> bool:
        return point.command == "HELLO" and point not in self.monitored

    def acked(self, effect: int) -> str:
        """Whether the message was acknowledged "before" or "after" its first effect (ns); empty where nobody knows."""
        acks = [at for point, at in self.times.items() if point.label.startswith("ZREM unacked_index")]
        return ("after" if min(acks) * 1e9 > effect else "before") if acks and effect else ""
