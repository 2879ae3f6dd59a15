"""The points (Redis requests and replies) that the operation of one trial caused, in their order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from brownout.plan.point import Point, Step
from brownout.wire.redis.record import Sample, Seen

# if an operation took longer than this share of the time for which a fault delays a reply, it has waited for the reply
WAITED = 0.9


@dataclass(frozen=True)
class Trace:
    """The fault points that the operation caused, in order, with the time (s, monotonic) and the commands (`samples`)
    of each point.

    `struck` counts the fault points at which a fault struck; `seen` has the messages that a report may show. `steps`
    has the fault points in their order; a step that is a connection's handshake names the purpose of the connection.
    Connections that were used only for periodic requests or for a probe are left out. `opened` has one handshake for
    each connection that was opened after the load began.
    """

    points: tuple[Point, ...] = ()
    times: Mapping[Point, float] = field(default_factory=dict)
    samples: Mapping[Point, Sample] = field(default_factory=dict)
    struck: int = 0
    seen: tuple[Seen, ...] = ()
    handshakes: frozenset[Point] = frozenset()  # The fault points at which a new connection begins.
    monitored: frozenset[Point] = frozenset()  # The handshakes that a periodic request may have caused.
    steps: tuple[Step, ...] = ()
    opened: tuple[Step, ...] = ()

    def again(self, order: Collection[Point], until: int) -> bool:
        """Whether a command was repeated, or a connection was opened, before the time `until` (ns): without a fault
        neither happens.

        The argument `order` has the points (Redis requests and replies) of a trial without a fault.
        """
        new = (point for point in self.points if point not in order and self.times[point] * 1e9 <= until)
        return any(self._connects(point) if point in self.handshakes else point.ordinal > 1 for point in new)

    def _connects(self, point: Point) -> bool:
        return point.command == "HELLO" and point not in self.monitored

    def acked(self, effect: int) -> str:
        """Return whether the message was acknowledged "before" or "after" the first effect (ns); "" when unknown."""
        acks = [at for point, at in self.times.items() if point.label.startswith("ZREM unacked_index")]
        return ("after" if min(acks) * 1e9 > effect else "before") if acks and effect else ""
