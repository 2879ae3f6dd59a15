"""What each connection of a subject is for, as its requests tell, and which of them a probe alone opened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from brownout.plan.point import Point, Step
from brownout.wire.redis.naming import HANDSHAKE, Naming
from brownout.wire.redis.passage import Passage

GREETING = re.compile(r"HELLO .*|CLIENT .*|SELECT|AUTH|SCRIPT LOAD")  # tells nothing about what a connection is for
PIDBOX = "celery.pidbox"  # remote control
BINDINGS = "_kombu.binding"  # a channel that declares its queues
OF_ANY_WORKER = re.compile("worker.*->broker")  # a worker opens these whether there is a message or not


@dataclass
class Connection:
    """One connection. `labels` are what it asked, once each, in order: after the first request that no clock and no
    handshake asks for, only those that are written down for another reason as well.
    """

    edge: str
    probing: bool  # a probe was under way when it was opened
    counted: bool  # the load had begun by then
    naming: Naming = field(default_factory=Naming)
    labels: dict[str, None] = field(default_factory=dict)
    sole: bool = False  # it was opened for a probe alone

    @property
    def purpose(self) -> str:
        """What it is for: the part of one of its labels that tells. Empty when only a clock asked for it.

        Monitors and watchdogs connect to ask for the length of a queue, and the monitor of an API for a PING; kombu
        begins a connection of its own with a PING as well.
        """
        told = [label for label in self.labels if not GREETING.fullmatch(label)]
        for known in (PIDBOX, BINDINGS):
            if any(known in label for label in told):
                return known
        work = [label for label in told if not self.naming.timers.fullmatch(label)]
        if work:
            return work[0]
        clock = self.naming.monitored(self.edge) or any(map(self.naming.polls.fullmatch, told))
        return "" if clock or not told else told[0]


class Connections:
    """All connections of a subject, in the order in which they first asked something."""

    def __init__(self, naming: Naming) -> None:
        self.told: set[Passage] = set()  # connections whose further plain requests tell nothing new
        self._naming = naming
        self._all: dict[Passage, Connection] = {}
        self._shaking: dict[Point, Connection] = {}  # the connection of each point that is part of a handshake

    def asked(self, passage: Passage, label: str, *, probing: bool, counted: bool, by_probe: bool) -> None:
        """A connection asks something; `by_probe` when it does so for a probe."""
        if (connection := self._all.get(passage)) is None:
            connection = self._all[passage] = Connection(passage.edge, probing, counted, self._naming)
        connection.labels[label] = None
        if passage not in self.told and self._naming.kind(label) not in ("handshake", "timer"):
            self.told.add(passage)
            connection.sole = connection.probing and by_probe and not OF_ANY_WORKER.fullmatch(connection.edge)

    def shakes(self, point: Point, passage: Passage) -> None:
        """This point is part of the handshake of a connection."""
        if connection := self._all.get(passage):
            self._shaking.setdefault(point, connection)

    def steps(self, points: Iterable[Point]) -> Iterator[Step]:
        """The points, without handshakes of connections that a clock or a probe alone asked for."""
        sole = self._sole()
        for point in points:
            if not HANDSHAKE.fullmatch(point.label):
                yield Step(point)
            elif (of := self._shaking.get(point)) and id(of) not in sole and (purpose := of.purpose):
                yield Step(point, purpose)

    def opened(self) -> Iterator[Step]:
        """A handshake for each connection that was opened since the load began, counted or not."""
        for connection in self._all.values():
            if connection.counted and (purpose := connection.purpose):
                yield Step(Point(connection.edge, next(iter(connection.labels))), purpose)

    def _sole(self) -> set[int]:
        """The connections that a probe alone opened, with the one that kombu opens right before, for a PING."""
        following: dict[str, Connection] = {}
        sole: set[int] = set()
        for connection in reversed(self._all.values()):
            then = following.get(connection.edge)
            if connection.sole or (then and then.sole and connection.purpose == "PING"):
                sole.add(id(connection))
            following[connection.edge] = connection
        return sole
