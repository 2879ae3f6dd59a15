"""A trial's view of its conductor, which lives on the wire's loop: every question is asked there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from brownout.plan.point import Point
from brownout.run.settling import OnWire
from brownout.run.trace import Trace
from brownout.wire.redis.conductor import Conductor
from brownout.wire.redis.naming import HANDSHAKE
from brownout.wire.tcp.wire import Wire

T = TypeVar("T")


class Conducted:
    """Asks and tells the conductor of all edges of a subject."""

    def __init__(self, wire: Wire, conductor: Conductor) -> None:
        self._wire, self.conductor = wire, conductor

    def _ask(self, question: Callable[[], T]) -> T:
        return self._wire.ask(question)

    def consume(self, workers: Sequence[str], queue: str) -> bool:
        """Whether each of these workers waits for a message of the queue now."""
        return self._ask(lambda: all(self.conductor.consumes(f"{worker}->broker", queue) for worker in workers))

    def idle_since(self) -> int:
        """When (ns) the last request came that does not come by a clock."""
        return self._ask(lambda: self.conductor.latest)

    def put_aside(self, workers: Sequence[str]) -> None:
        """These workers ask for messages only when another one has got the first."""
        edges = frozenset(f"{worker}->broker" for worker in workers)
        self._ask(lambda: setattr(self.conductor, "aside", edges))

    def look(self, held: float) -> OnWire:
        """What the wire tells now; `held` (s) is for how long a message may be in a worker's memory alone."""
        conductor = self.conductor

        def told() -> OnWire:
            ticked = any(name[0] == "beat->broker" for name in conductor.counts)
            return OnWire(conductor.holds(held), dict(conductor.polled), ticked, len(conductor.hits))

        return self._ask(told)

    def probe(self, *, begins: bool) -> None:
        """A probe is about to be sent; or else the newest one proves nothing any more."""
        self._ask(self.conductor.probe if begins else self.conductor.unprobe)

    def trace(self) -> Trace:
        """What was seen until now."""
        conductor = self.conductor

        def told() -> Trace:
            points: tuple[Point, ...] = tuple(dict.fromkeys(conductor.trace))
            new = frozenset(point for point in points if HANDSHAKE.fullmatch(point.label))
            monitored = frozenset(point for point in new if conductor.naming.monitored(point.edge))
            times, samples = dict(conductor.times), dict(conductor.samples)
            seen = tuple(seen for seen in conductor.seen if seen.telling and not HANDSHAKE.match(seen.what))
            steps, opened = tuple(conductor.steps()), tuple(conductor.connections.opened())
            return Trace(points, times, samples, len(conductor.hits), seen, new, monitored, steps, opened)

        return self._ask(told)

    def close(self) -> None:
        """The trial is over: no connection stays, not even one whose client has left."""
        self._ask(self.conductor.close)
