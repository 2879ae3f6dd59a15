"""Calls the conductor from a trial's thread; each call runs on the network proxy's event loop, because the conductor is
not thread-safe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from brownout.plan.point import Point
from brownout.run.phases.settling import OnWire
from brownout.run.trace import Trace
from brownout.wire.redis.conductor import Conductor
from brownout.wire.redis.naming import HANDSHAKE
from brownout.wire.tcp.wire import Wire

T = TypeVar("T")


class ConductorCalls:
    """Calls the conductor: the object that counts, and may hold back, all requests of the subject to Redis."""

    def __init__(self, wire: Wire, conductor: Conductor) -> None:
        self._wire, self.conductor = wire, conductor

    def _ask(self, call: Callable[[], T]) -> T:
        return self._wire.ask(call)

    def consume(self, workers: Sequence[str], queue: str) -> bool:
        """Whether each of these workers now waits for a message from the queue."""
        return self._ask(lambda: all(self.conductor.consumes(f"{worker}->broker", queue) for worker in workers))

    def idle_since(self) -> int:
        """The time (ns, monotonic) of the last Redis request, except requests that clients send periodically."""
        return self._ask(lambda: self.conductor.latest)

    def put_aside(self, workers: Sequence[str]) -> None:
        """Hold these workers' requests for messages until another worker has received the first message."""
        edges = frozenset(f"{worker}->broker" for worker in workers)
        self._ask(lambda: setattr(self.conductor, "aside", edges))

    def look(self, held: float) -> OnWire:
        """Return the state of the Redis traffic at this moment. `held` is the longest time in seconds for which a
        message may exist only in a worker's memory."""
        conductor = self.conductor

        def state() -> OnWire:
            ticked = any(name[0] == "beat->broker" for name in conductor.counts)
            return OnWire(conductor.holds(held), dict(conductor.polled), ticked, len(conductor.hits))

        return self._ask(state)

    def probe(self, *, begins: bool) -> None:
        """Tell the conductor that the trial is about to send a test task, the probe (if `begins` is true), or that the
        newest probe does not prove anything any more."""
        self._ask(self.conductor.probe if begins else self.conductor.unprobe)

    def trace(self) -> Trace:
        """Return the points (Redis requests and replies) and the connections that have passed through the network proxy
        so far."""
        conductor = self.conductor

        def recorded() -> Trace:
            points: tuple[Point, ...] = tuple(dict.fromkeys(conductor.trace))
            new = frozenset(point for point in points if HANDSHAKE.fullmatch(point.label))
            monitored = frozenset(point for point in new if conductor.naming.monitored(point.edge))
            times, samples = dict(conductor.times), dict(conductor.samples)
            seen = tuple(seen for seen in conductor.seen if seen.telling and not HANDSHAKE.match(seen.what))
            steps, opened = tuple(conductor.steps()), tuple(conductor.connections.opened())
            return Trace(points, times, samples, len(conductor.hits), seen, new, monitored, steps, opened)

        return self._ask(recorded)

    def close(self) -> None:
        """End all connections at the end of the trial, also connections that the client has already closed."""
        self._ask(self.conductor.close)
