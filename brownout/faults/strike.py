"""Carries out faults: each fault has one function that strikes and returns how to heal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from brownout.plan.fault import FAULTS, Fault
from brownout.subject.subject import Subject
from brownout.wire.redis.watch import Hit


@dataclass(frozen=True)
class Strike:
    """A fault that has struck, with the function that heals it.

    `heal` undoes the fault and may be called twice. `acted` returns the evidence that the fault did something to the
    subject, or "" while there is no evidence; the nemesis calls `acted` until there is evidence, for the last time just
    after `heal`. `killed` holds the pids of the processes that the fault ends by SIGKILL; a message that is kept at a
    point waits until they are gone.
    """

    heal: Callable[[], None]
    acted: Callable[[], str]
    killed: frozenset[int] = frozenset()


Striker = Callable[[Subject, str, Fault], Strike]
#: A function that strikes the message at a point. It runs on the wire's loop, so it must not block.
AtPoint = Callable[[Hit, Fault], Strike]


def strike(subject: Subject, target: str, fault: Fault) -> Strike:
    """Strike a target with a fault now. Raises UnknownName for an unknown fault, LookupError without a strike."""
    striker: Striker | None = fault.kind.strike
    if striker is None:
        raise LookupError(f"{fault.name} has no strike: decorate the function that carries it out with @strikes")
    return striker(subject, target, fault)


def strikes(make: Callable[..., Fault]) -> Callable[[Striker], Striker]:
    """Register the function that carries out the faults that `make` makes. Raises ValueError if another function
    carries the fault out already."""
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
    """Register the function that strikes the message at a point, for the faults that `make` makes."""
    kind = FAULTS[make.__name__]
    if not kind.moments or kind.strike_there is not None:
        raise ValueError(f"{kind.name} has no `moments` at a point, or has a strike for points already")

    def enter(striker: AtPoint) -> AtPoint:
        FAULTS[kind.name] = replace(FAULTS[kind.name], strike_there=striker)
        return striker

    return enter


def strike_at(hit: Hit, fault: Fault) -> Strike:
    """Strike the message that is kept at a point with a fault. Call `strike_at` on the wire's loop only."""
    striker: AtPoint | None = fault.kind.strike_there
    if striker is None:
        raise LookupError(
            f"{fault.name} strikes no message: decorate the function that strikes messages with @strikes_there"
        )
    return striker(hit, fault)
