"""Faults as values, and the table that says what each of them is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from brownout.plan.near import known
from brownout.plan.promise import call


@dataclass(frozen=True)
class Fault:
    """What goes wrong: `name` is registered in FAULTS, `args` are JSON values, times in seconds."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return call(self.name, self.args)

    @property
    def kind(self) -> FaultKind:
        """Its entry in FAULTS; UnknownName, with near matches, when it has none."""
        return FAULTS[known("fault", self.name, FAULTS)]


@dataclass(frozen=True)
class FaultKind:
    """What is known of all faults of one name.

    `make` checks its arguments and returns the Fault; its docstring's first line is the row in reports. `targets` are
    the sorts of target it takes ("worker", "api", "broker", "edge", ...). `wires` are the providers that can do
    it ("builtin", "toxiproxy"), empty when no wire is needed. `heal` says in words how it is undone.
    `weaker` gives variants that do less harm, the nearest first.
    """

    name: str
    make: Callable[..., Fault]
    targets: frozenset[str]
    heal: str
    wires: frozenset[str] = frozenset()
    weaker: Callable[[Fault], tuple[Fault, ...]] = lambda _: ()

    @property
    def row(self) -> str:
        """The first line of the docstring."""
        return (self.make.__doc__ or "").strip().partition("\n")[0]


FAULTS: dict[str, FaultKind] = {}


def register(kind: FaultKind) -> FaultKind:
    """Put a kind of fault into FAULTS; ValueError when its name is taken by another."""
    if FAULTS.setdefault(kind.name, kind) is not kind:
        raise ValueError(f"two faults are called {kind.name!r}")
    return kind
