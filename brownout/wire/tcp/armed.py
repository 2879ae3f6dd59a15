"""A toxic (network fault) that is in force on an edge, and counters that prove that it had an effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from brownout.wire.tcp.toxics import Toxic


@dataclass(frozen=True, slots=True)
class Acted:
    """Counts what all toxics with the same name have done on an edge, also after a toxic was removed and added
    again."""

    connections: int = 0  # Connections that the network fault acted on.
    shaped: int = 0  # The number of bytes that were passed on late, or in other pieces.
    dropped: int = 0  # Bytes that were dropped.
    closed: int = 0  # The number of connections that the network fault ended, or whose end it delayed.


@dataclass(frozen=True, slots=True)
class Counters:
    """Counts of connections of a network edge since the edge was created."""

    connected: int = 0
    closed: int = 0  # Number of connections that were closed in any way.
    reset: int = 0  # Number of connections closed by RST, which the network proxy sent or passed on.
    refused: int = 0  # Number of connections whose upstream could not be reached.
    abandoned: int = 0  # Number of clients that left while the network edge connected to the upstream.
    toxics: tuple[tuple[str, Acted], ...] = ()

    def acted(self, name: str) -> Acted:
        """Return the counts of the network fault `name`; all counts are 0 if the network fault never acted."""
        return dict(self.toxics).get(name, Acted())


@dataclass(slots=True)
class Armed:
    """A toxic that is in force: its definition, the state that all connections share, and the connections on which it
    has acted."""

    toxic: Toxic
    # A function that gets the network fault, the connection's number, and the number of bytes
    on_first: Callable[[Toxic, int, int], None]
    acted: Acted = Acted()
    shared: dict[str, int] = field(default_factory=dict)
    hit: set[int] = field(default_factory=set)

    def count(self, connection: int, *, shaped: int = 0, dropped: int = 0, closed: int = 0) -> None:
        """Count that the toxic has acted on this connection: on this number of bytes, or on the end of the
        connection."""
        first = connection not in self.hit
        old = self.acted
        connections = old.connections + first
        self.acted = Acted(connections, old.shaped + shaped, old.dropped + dropped, old.closed + closed)
        if first:
            self.hit.add(connection)
            self.on_first(self.toxic, connection, shaped + dropped)

    def updated(self, toxic: Toxic) -> Armed:
        """Return a copy that has the attributes of `toxic`, and the state and the counts of this toxic."""
        return replace(self, toxic=toxic)
