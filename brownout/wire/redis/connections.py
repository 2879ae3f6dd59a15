"""Finds out what each connection of a subject is for, from its requests, and which connections were opened only for a
probe (a test task)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from brownout.plan.point import Point, Step
from brownout.wire.redis.naming import HANDSHAKE, Naming
from brownout.wire.redis.passage import Passage

# Labels of requests that every new connection may send, whatever its purpose
GREETING = re.compile(r"HELLO .*|CLIENT .*|SELECT|AUTH|SCRIPT LOAD")
PIDBOX = "celery.pidbox"  # The purpose of a connection for remote control.
BINDINGS = "_kombu.binding"  # The purpose of a connection on which kombu declares queues.
OF_ANY_WORKER = re.compile("worker.*->broker")  # a worker opens connections to the broker even when there is no message


@dataclass
class Connection:
    """One connection of the subject to Redis. `labels` has the different labels of the connection's requests, in order.

    After the first request that is neither periodic nor part of a handshake, some labels may be missing.
    """

    edge: str
    probing: bool  # A probe was running when the connection was opened.
    counted: bool  # The load had begun when the connection was opened.
    naming: Naming = field(default_factory=Naming)
    labels: dict[str, None] = field(default_factory=dict)
    sole: bool = False  # the connection was opened only for a probe

    @property
    def purpose(self) -> str:
        """The purpose of the connection, as a part of one of its labels; "" when the connection had only periodic
        requests.

        Monitors and watchdogs connect to get the length of a queue, and the monitor of an API connects for a PING.
        kombu also begins some connections with a PING.
        """
        labels = [label for label in self.labels if not GREETING.fullmatch(label)]
        for purpose in (PIDBOX, BINDINGS):
            if any(purpose in label for label in labels):
                return purpose
        work = [label for label in labels if not self.naming.timers.fullmatch(label)]
        if work:
            return work[0]
        clock = self.naming.monitored(self.edge) or any(map(self.naming.polls.fullmatch, labels))
        return "" if clock or not labels else labels[0]


class Connections:
    """All connections of a subject, in the order of their first requests."""

    def __init__(self, naming: Naming) -> None:
        # Connections whose purpose is known, so that further plain requests need no `add`
        self.classified: set[Passage] = set()
        self._naming = naming
        self._all: dict[Passage, Connection] = {}
        self._handshakes: dict[Point, Connection] = {}  # the connection of each point that is part of a handshake

    def add(self, passage: Passage, label: str, *, probing: bool, counted: bool, by_probe: bool) -> None:
        """Add a request of a connection; `by_probe` says whether a probe (a test task) caused the request."""
        if (connection := self._all.get(passage)) is None:
            connection = self._all[passage] = Connection(passage.edge, probing, counted, self._naming)
        connection.labels[label] = None
        if passage not in self.classified and self._naming.kind(label) not in ("handshake", "timer"):
            self.classified.add(passage)
            connection.sole = connection.probing and by_probe and not OF_ANY_WORKER.fullmatch(connection.edge)

    def add_handshake(self, point: Point, passage: Passage) -> None:
        """Add a point that is part of the handshake of a connection."""
        if connection := self._all.get(passage):
            self._handshakes.setdefault(point, connection)

    def steps(self, points: Iterable[Point]) -> Iterator[Step]:
        """Yield the points, without the handshakes of connections that were opened only for periodic requests or a
        probe."""
        sole = self._sole()
        for point in points:
            if not HANDSHAKE.fullmatch(point.label):
                yield Step(point)
            elif (of := self._handshakes.get(point)) and id(of) not in sole and (purpose := of.purpose):
                yield Step(point, purpose)

    def opened(self) -> Iterator[Step]:
        """Yield a handshake, counted or not, for each connection that was opened since the load began."""
        for connection in self._all.values():
            if connection.counted and (purpose := connection.purpose):
                yield Step(Point(connection.edge, next(iter(connection.labels))), purpose)

    def _sole(self) -> set[int]:
        """Return the ids of connections that were opened only for a probe (a test task). The result includes the
        connection on which kombu sends a PING before it opens a connection for the probe."""
        next_on_edge: dict[str, Connection] = {}
        sole: set[int] = set()
        for connection in reversed(self._all.values()):
            after = next_on_edge.get(connection.edge)
            if connection.sole or (after and after.sole and connection.purpose == "PING"):
                sole.add(id(connection))
            next_on_edge[connection.edge] = connection
        return sole
