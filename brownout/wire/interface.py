"""The interface of all network proxies (wires), so that a scenario runs unchanged with each of them."""

from __future__ import annotations

from typing import Protocol

from brownout.wire.tcp.toxics import Toxic


class AnyEdge(Protocol):
    """A port of the network proxy: an `Edge` (built in) or a `ToxiproxyEdge`; these classes document the methods in
    full."""

    name: str

    @property
    def port(self) -> int:
        """The port to which the subject connects."""

    @property
    def address(self) -> str:
        """The `host:port` to which the subject connects."""

    @property
    def toxics(self) -> tuple[Toxic, ...]:
        """The toxics (network faults) that are in force on the network edge now."""

    @property
    def enabled(self) -> bool:
        """Whether the network edge listens."""

    def add(self, toxic: Toxic) -> Toxic:
        """Add a toxic (a network fault) to the network edge; a second call with the same toxic changes nothing."""

    def remove(self, name: str) -> bool:
        """Remove the network fault `name`; return False if there is no such fault."""

    def heal(self) -> None:
        """Remove all network faults from the network edge, and listen."""

    def down(self) -> None:
        """Close every connection, and refuse new ones."""

    def up(self) -> None:
        """Listen again at the network edge's port after `down`."""

    def cut(self) -> None:
        """Close every live connection; new connections are accepted."""

    def redirect(self, upstream: str) -> None:
        """Send new connections to another `host:port`."""

    def close(self) -> None:
        """Close the network edge for good."""


class AnyWire(Protocol):
    """A network proxy: a `Wire` (built in) or a `ToxiproxyWire`."""

    @property
    def kind(self) -> str:
        """The name of this kind of network proxy, as in `Toxic.wires`."""

    @property
    def pid(self) -> int | None:
        """The pid of the network proxy's process, or None when the proxy runs inside the current process."""

    def edge(self, name: str, upstream: str) -> AnyEdge:
        """Return a new network edge that leads to `upstream` (`host:port`)."""

    def close(self) -> None:
        """Close all network edges of the network proxy for good."""
