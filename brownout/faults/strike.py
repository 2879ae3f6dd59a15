"""How a fault is carried out: each fault has one function that strikes and says how to heal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from brownout.plan.fault import FAULTS, Fault
from brownout.subject.subject import Subject
from brownout.wire.redis.watch import Hit


@dataclass(frozen=True)
class Strike:
    """A fault that is on.

    `heal` undoes it and may be called twice. `acted` gives the evidence that it did something to the subject, and
    nothing as long as there is none; it is asked until it answers, for the last time just after `heal`. `killed` are
    the pids of processes that it ends by SIGKILL; a message that is kept at a point waits until they are gone.
    """

    heal: Callable[[], None]
    acted: Callable[[], str]
    killed: frozenset[int] = frozenset()


Striker = Callable[[Subject, str, Fault], Strike]
#: Strikes the message that is kept at a point, at once and on the wire's loop, so it must not block.
AtPoint = Callable[[Hit, Fault], Strike]


def strike(subject: Subject, target: str, fault: Fault) -> Strike:
    """Let a fault happen to a target now. UnknownName for a fault that nobody registered."""
    striker: Striker | None = fault.kind.strike
    if striker is None:
        raise LookupError(f"{fault.name} has no strike: decorate the function that carries it out with @strikes")
    return striker(subject, target, fault)


def strikes(make: Callable[..., Fault]) -> Callable[[Striker], Striker]:
    """Say which function carries out the faults that `make` makes; ValueError when there is one already."""
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
    """Say which function strikes the message at a point of the wire, for the faults that `make` makes."""
    kind = FAULTS[make.__name__]
    if not kind.moments or kind.strike_there is not None:
        raise ValueError(f"{kind.name} strikes no message at a point, or has such a strike already")

    def enter(striker: AtPoint) -> AtPoint:
        FAULTS[kind.name] = replace(FAULTS[kind.name], strike_there=striker)
        return striker

    return enter


def strike_at(hit: Hit, fault: Fault) -> Strike:
    """Let a fault happen to the message that is kept at a point. On the wire's loop only."""
    striker: AtPoint | None = fault.kind.strike_there
    if striker is None:
        raise LookupError(f"{fault.name} strikes no message: decorate the function that does with @strikes_there")
    return striker(hit, fault)
