"""Faults as values, and the registry of all kinds of faults."""

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
    """A fault: one thing that goes wrong in a trial.

    `name` is a name in the registry FAULTS; `args` are the arguments as JSON values, with durations in seconds.
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return call(self.name, self.args)

    @property
    def kind(self) -> FaultKind:
        """The entry of this kind of fault in the registry FAULTS. Raises UnknownName, with similar names, for an
        unknown name."""
        return FAULTS[known("fault", self.name, FAULTS)]


Weaker = Callable[[Fault], tuple[Fault, ...]]


@dataclass(frozen=True)
class FaultKind:
    """A kind of fault: the properties that all faults with the same name share.

    `make` checks the arguments of a fault and returns the Fault; the first line of its docstring is the fault's row in
    reports. `targets` says what the fault can strike ("worker", "api", "broker", "edge", ...). `wires` names the
    network proxies that can carry out the fault ("builtin", "toxiproxy"); it is empty when the fault needs no network
    proxy. `heal` says in words how the fault is healed. The function `weaker` returns variants of the fault that do
    less harm, the strongest variant first. `strike` carries out the fault, see faults/strike.py. `strike_there` carries
    out the fault on a single message at a point, or on this message's connection, before or after the server executes
    the message (`moments`). If `needs_point` is true, the fault can strike only at a point (a Redis request or its
    reply).
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
        """The row of this kind of fault in tables: the first line of the docstring of `make`."""
        return (self.make.__doc__ or "").strip().partition("\n")[0]


#: All kinds of faults by name; `@fault` fills this registry when `brownout.faults` is imported.
FAULTS: dict[str, FaultKind] = {}


def register(kind: FaultKind) -> FaultKind:
    """Put a kind of fault into the registry FAULTS. Raises ValueError when FAULTS has another kind of that name.

    When a module is imported a second time, it may register its own faults again.
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
    """Register the decorated function as the maker of a fault; the fault has the name of the function.

    The arguments of the decorator are the fields of FaultKind. The first line of the function's docstring is the
    fault's row in reports. `@strikes(make)` registers the function that carries out the fault.
    """

    def decorate(make: Callable[P, Fault]) -> Callable[P, Fault]:
        register(
            FaultKind(
                make.__name__, make, frozenset(targets), heal, frozenset(wires), weaker, None, (*moments,), needs_point
            )
        )
        return make

    return decorate
