"""How a fault is carried out: each kind has one function that strikes and says how to heal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brownout.plan.fault import Fault, FaultKind, register
from brownout.subject.subject import Subject


@dataclass(frozen=True)
class Strike:
    """A fault that is on.

    `heal` undoes it and may be called twice. `acted` gives the evidence that it did something to the subject, and
    nothing as long as there is none; it is asked until it answers, for the last time just after `heal`.
    """

    heal: Callable[[], None]
    acted: Callable[[], str]


Striker = Callable[[Subject, str, Fault], Strike]

STRIKERS: dict[str, Striker] = {}


def strike(subject: Subject, target: str, fault: Fault) -> Strike:
    """Let a fault happen to a target now. UnknownName for a fault that nobody registered."""
    return STRIKERS[fault.kind.name](subject, target, fault)


def enlist(kind: FaultKind, striker: Striker) -> None:
    """The registry line of a fault."""
    register(kind)
    STRIKERS[kind.name] = striker
