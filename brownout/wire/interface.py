"""The interface of all wires, so that a scenario runs unchanged on each of them."""

from __future__ import annotations

from typing import Protocol

from brownout.wire.tcp.toxics import Toxic


class AnyEdge(Protocol):
    """An `Edge` or a `ToxiproxyEdge`; these classes document the methods in full."""

    name: str

    @property
    def port(self) -> int:
        """The port to which the subject connects."""

    @property
    def address(self) -> str:
        """The `host:port` to which the subject connects."""

    @property
    def toxics(self) -> tuple[Toxic, ...]:
        """The toxics that are armed now."""

    @property
    def enabled(self) -> bool:
        """Whether the edge listens."""

    def add(self, toxic: Toxic) -> Toxic:
        """Arm a toxic; idempotent."""

    def remove(self, name: str) -> bool:
        """Remove the toxic `name`; return False if there is no such toxic."""

    def heal(self) -> None:
        """Remove all toxics from the edge, and listen."""

    def down(self) -> None:
        """Close every connection, and refuse new ones."""

    def up(self) -> None:
        """Listen again at the edge's port after `down`."""

    def cut(self) -> None:
        """Close every live connection; new connections are accepted."""

    def redirect(self, upstream: str) -> None:
        """Send new connections to another `host:port`."""

    def close(self) -> None:
        """Close the edge for good."""


class AnyWire(Protocol):
    """A `Wire` or a `ToxiproxyWire`."""

    @property
    def kind(self) -> str:
        """The name of this kind of wire in `Toxic.wires`."""

    @property
    def pid(self) -> int | None:
        """The pid of the wire's process; None for a wire inside the current process."""

    def edge(self, name: str, upstream: str) -> AnyEdge:
        """Return a new edge that leads to `upstream` (`host:port`)."""

    def close(self) -> None:
        """Close all edges of the wire for good."""
