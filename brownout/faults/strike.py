"""Carries out faults: for each kind of fault one function begins the fault, and returns how to heal it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from brownout.plan.fault import FAULTS, Fault
from brownout.subject.subject import Subject
from brownout.wire.redis.watch import Hit


@dataclass(frozen=True)
class Strike:
    """A fault that has begun (a strike), with the function that heals it.

    `heal` undoes the fault and may be called twice. `acted` returns a text that describes an effect of the fault on the
    subject, or "" while no effect was seen. The nemesis (which carries out the schedule of faults) calls `acted` until
    an effect was seen, for the last time just after `heal`. `killed` holds the pids of the processes that the fault
    ends by SIGKILL; a message that is kept at a fault point waits until they are gone.
    """

    heal: Callable[[], None]
    acted: Callable[[], str]
    killed: frozenset[int] = frozenset()


Striker = Callable[[Subject, str, Fault], Strike]
#: A function that makes a fault strike the message that is kept at a fault point. The function runs on the network
#: proxy's event loop, so it must not block.
AtPoint = Callable[[Hit, Fault], Strike]


def strike(subject: Subject, target: str, fault: Fault) -> Strike:
    """Begin a fault on a target now.

    Raises UnknownName for an unknown fault, and LookupError when no function carries the fault out.
    """
    striker: Striker | None = fault.kind.strike
    if striker is None:
        raise LookupError(f"{fault.name} has no strike: decorate the function that carries it out with @strikes")
    return striker(subject, target, fault)


def strikes(make: Callable[..., Fault]) -> Callable[[Striker], Striker]:
    """Register the function that carries out the faults that `make` makes.

    Raises ValueError if another function is already registered for the fault.
    """
    kind = FAULTS.get(make.__name__)
    if kind is None or kind.make is not make:
        raise ValueError(f"{make.__name__} is no fault: decorate the function that makes it with @fault")
    if kind.strike is not None:
        raise ValueError(f"{kind.name} has a strike already")

    def enter(striker: Striker) -> Striker:
        FAULTS[kind.name] = replace(kind, strike=striker)
        return striker

    return enter


def strikes_there(make: Callable[..., Fault]) -> Callable[[AtPoint], AtPoint]:
    """Register the function that strikes the message which is kept at a fault point, for the faults that `make`
    makes."""
    kind = FAULTS[make.__name__]
    if not kind.moments or kind.strike_there is not None:
        raise ValueError(f"{kind.name} has no `moments` at a point, or has a strike for points already")

    def enter(striker: AtPoint) -> AtPoint:
        FAULTS[kind.name] = replace(FAULTS[kind.name], strike_there=striker)
        return striker

    return enter


def strike_at(hit: Hit, fault: Fault) -> Strike:
    """Begin a fault that acts on the message that is kept at a fault point. Call `strike_at` only on the thread of the
    network proxy's event loop."""
    striker: AtPoint | None = fault.kind.strike_there
    if striker is None:
        raise LookupError(
            f"{fault.name} strikes no message: decorate the function that strikes messages with @strikes_there"
        )
    return striker(hit, fault)
