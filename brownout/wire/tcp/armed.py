"""A toxic that is armed on an edge, and counters that prove that the toxic acted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from brownout.wire.tcp.toxics import Toxic


@dataclass(frozen=True, slots=True)
class Acted:
    """Counts what all toxics of one name have done on an edge, also when a toxic was removed and armed again."""

    connections: int = 0  # connections that the toxic acted on
    shaped: int = 0  # bytes that were passed on late, or in other pieces
    dropped: int = 0  # bytes that were dropped
    closed: int = 0  # connections that the toxic ended, or whose end it delayed


@dataclass(frozen=True, slots=True)
class Counters:
    """Counts of connections of an edge since the edge was created."""

    connected: int = 0
    closed: int = 0  # number of connections that were closed in any way
    reset: int = 0  # number of connections closed by RST, which the wire sent or passed on
    refused: int = 0  # number of connections whose upstream could not be reached
    abandoned: int = 0  # number of clients that left while the edge connected to the upstream
    toxics: tuple[tuple[str, Acted], ...] = ()

    def acted(self, name: str) -> Acted:
        """Return the counts of the toxic `name`; all counts are 0 if the toxic never acted."""
        return dict(self.toxics).get(name, Acted())


@dataclass(slots=True)
class Armed:
    """An armed toxic: its definition, state that its connections share, and the connections that it has hit."""

    toxic: Toxic
    # A function of the toxic, the connection's number, and the number of bytes
    on_first: Callable[[Toxic, int, int], None]
    acted: Acted = Acted()
    shared: dict[str, int] = field(default_factory=dict)
    hit: set[int] = field(default_factory=set)

    def count(self, connection: int, *, shaped: int = 0, dropped: int = 0, closed: int = 0) -> None:
        """Count that the toxic has acted on this connection: on so many bytes, or on the connection's end."""
        first = connection not in self.hit
        old = self.acted
        connections = old.connections + first
        self.acted = Acted(connections, old.shaped + shaped, old.dropped + dropped, old.closed + closed)
        if first:
            self.hit.add(connection)
            self.on_first(self.toxic, connection, shaped + dropped)

    def updated(self, toxic: Toxic) -> Armed:
        """Return this armed toxic, counts included, with the attributes of `toxic`."""
        return replace(self, toxic=toxic)
