"""Faults as values, and the registry that says what each of them is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec

from brownout.plan.near import known
from brownout.plan.point import Moment
from brownout.plan.promise import call

P = ParamSpec("P")


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


Weaker = Callable[[Fault], tuple[Fault, ...]]


@dataclass(frozen=True)
class FaultKind:
    """What is known of all faults of one name.

    `make` checks its arguments and returns the Fault; its docstring's first line is the row in reports. `targets` are
    the sorts of target it takes ("worker", "api", "broker", "edge", ...). `wires` are the providers that can do
    it ("builtin", "toxiproxy"), empty when no wire is needed. `heal` says in words how it is undone.
    `weaker` gives variants that do less harm, the nearest first. `strike` carries it out, see faults/strike.py.
    `moments` are those of a point of the wire at which `strike_there` strikes the message that is there, and its
    connection alone; `needs_point`: the fault strikes nowhere else.
    """

    name: str
    make: Callable[..., Fault]
    targets: frozenset[str]
    heal: str
    wires: frozenset[str] = frozenset()
    weaker: Weaker = lambda _: ()
    strike: Callable[..., Any] | None = None
    moments: tuple[Moment, ...] = ()
    needs_point: bool = False
    strike_there: Callable[..., Any] | None = None

    @property
    def row(self) -> str:
        """The first line of the docstring."""
        return (self.make.__doc__ or "").strip().partition("\n")[0]


#: Filled by `@fault` when `brownout.faults` is imported.
FAULTS: dict[str, FaultKind] = {}


def register(kind: FaultKind) -> FaultKind:
    """Put a kind of fault into FAULTS; ValueError when its name is taken by another.

    A module that is imported once more may register its own faults again.
    """
    before = FAULTS.get(kind.name)
    again = before is not None and before.make is not kind.make and _place(before.make) == _place(kind.make)
    if before is not None and before is not kind and not again:
        raise ValueError(f"two faults are called {kind.name!r}")
    FAULTS[kind.name] = kind
    return kind


def _place(make: Callable[..., Fault]) -> tuple[str, str]:
    return make.__module__, make.__qualname__


def fault(
    *,
    targets: Iterable[str],
    heal: str,
    wires: Iterable[str] = (),
    weaker: Weaker = lambda _: (),
    moments: Iterable[Moment] = (),
    needs_point: bool = False,
) -> Callable[[Callable[P, Fault]], Callable[P, Fault]]:
    """Register the function that makes a fault; the fault has the name of the function.

    The arguments are the fields of FaultKind. The function's docstring has the fault's row in its first line.
    `@strikes(make)` registers the function that carries the fault out.
    """

    def enter(make: Callable[P, Fault]) -> Callable[P, Fault]:
        register(
            FaultKind(
                make.__name__, make, frozenset(targets), heal, frozenset(wires), weaker, None, (*moments,), needs_point
            )
        )
        return make

    return enter
