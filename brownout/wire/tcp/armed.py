"""A toxic that is armed on an edge, and the proof that it acted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from brownout.wire.tcp.toxics import Toxic


@dataclass(frozen=True, slots=True)
class Acted:
    """What a toxic has done on its edge, under its name, heals and new arms included."""

    connections: int = 0  # it acted on
    shaped: int = 0  # bytes that went on late, or in other pieces
    dropped: int = 0  # bytes that never went on
    closed: int = 0  # connections it ended, or whose end it delayed


@dataclass(frozen=True, slots=True)
class Counters:
    """What has happened on an edge since it was made."""

    connected: int = 0
    closed: int = 0  # in any way
    reset: int = 0  # of these, by RST: ours, or carried from one end to the other
    refused: int = 0  # the upstream could not be reached
    abandoned: int = 0  # the client left during the dial
    toxics: tuple[tuple[str, Acted], ...] = ()

    def acted(self, name: str) -> Acted:
        """What the toxic of that name did: all zeros if it never acted."""
        return dict(self.toxics).get(name, Acted())


@dataclass(slots=True)
class Armed:
    """One armed toxic: its definition, what it shares between connections, and whom it has hit."""

    toxic: Toxic
    on_first: Callable[[Toxic, int, int], None]  # toxic, connection, bytes
    acted: Acted = Acted()
    shared: dict[str, int] = field(default_factory=dict)
    hit: set[int] = field(default_factory=set)

    def count(self, connection: int, *, shaped: int = 0, dropped: int = 0, closed: int = 0) -> None:
        """It has acted on this connection."""
        first = connection not in self.hit
        was = self.acted
        self.acted = Acted(was.connections + first, was.shaped + shaped, was.dropped + dropped, was.closed + closed)
        if first:
            self.hit.add(connection)
            self.on_first(self.toxic, connection, shaped + dropped)

    def updated(self, toxic: Toxic) -> Armed:
        """The same one with other attributes."""
        return replace(self, toxic=toxic)
