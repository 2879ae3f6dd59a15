"""What every wire offers, so that a scenario does not know which one it runs on."""

from __future__ import annotations

from typing import Protocol

from brownout.wire.tcp.toxics import Toxic


class AnyEdge(Protocol):
    """`Edge`, or `ToxiproxyEdge`: the documentation is theirs."""

    name: str

    @property
    def port(self) -> int:
        """The port the subject connects to."""

    @property
    def address(self) -> str:
        """`host:port` for the subject."""

    @property
    def toxics(self) -> tuple[Toxic, ...]:
        """Those armed now."""

    @property
    def enabled(self) -> bool:
        """Does it listen?"""

    def add(self, toxic: Toxic) -> Toxic:
        """Arm; idempotent."""

    def remove(self, name: str) -> bool:
        """Heal one; False if there was none."""

    def heal(self) -> None:
        """Heal all, and listen."""

    def down(self) -> None:
        """Refuse."""

    def up(self) -> None:
        """Listen again."""

    def cut(self) -> None:
        """Close every live connection, and go on listening."""

    def redirect(self, upstream: str) -> None:
        """Lead to another `host:port`."""

    def close(self) -> None:
        """Give it up."""


class AnyWire(Protocol):
    """`Wire`, or `ToxiproxyWire`."""

    @property
    def kind(self) -> str:
        """The word for it in `Toxic.wires`."""

    @property
    def pid(self) -> int | None:
        """The process that carries it; None for this one."""

    def edge(self, name: str, upstream: str) -> AnyEdge:
        """A new edge."""

    def close(self) -> None:
        """Give everything up."""
