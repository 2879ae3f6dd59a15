"""Faults that are carried out by toxics (Toxiproxy's word for network faults): how such a fault is declared, which
toxics it adds, and how it is made weaker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypedDict

from brownout.faults.edges import TARGETS, toxic_striker
from brownout.faults.strike import strikes
from brownout.plan.fault import Fault, Weaker, fault
from brownout.wire.tcp.toxics import KINDS, Stream, Toxic

P = ParamSpec("P")
Attributes = Callable[[Mapping[str, Any]], dict[str, int]]
SHORTEST = 0.001  # seconds; toxics (network faults) count in milliseconds, so a shorter time cannot be made weaker


class Where(TypedDict, total=False):
    """Arguments that every fault of this sort takes, namely `stream`, and `toxicity`, the share of connections that are
    disturbed (0 to 1)."""

    stream: Stream
    toxicity: float


@dataclass(frozen=True)
class _Recipe:
    """A toxic's type, its default stream, and a function from the fault's arguments to the toxic's attributes."""

    type: str
    stream: Stream | None
    attributes: Attributes


_RECIPES: dict[str, _Recipe] = {}


def toxic(
    type: str,
    attributes: Attributes = lambda _: {},
    *,
    weaker: Weaker,
    heal: str = "held bytes arrive at once",
    stream: Stream | None = None,
    ends: bool = False,
) -> Callable[[Callable[P, Fault]], Callable[P, Fault]]:
    """Register a function that makes a fault. When the fault begins, a toxic (network fault) of this type is added to
    the network edges of the target.

    If `ends` is true, connections that ended show that the fault had an effect; otherwise bytes that passed show it.
    """

    def enter(make: Callable[P, Fault]) -> Callable[P, Fault]:
        _RECIPES[make.__name__] = _Recipe(type, stream, attributes)
        fault(targets=TARGETS, heal=heal, wires=KINDS[type].wires, weaker=weaker)(make)
        strikes(make)(toxic_striker(toxics, ends=ends))
        return make

    return enter


def ms(value: float) -> int:
    """Convert seconds to whole milliseconds, the unit of toxics."""
    return round(value * 1000)


def toxics(fault: Fault) -> tuple[Toxic, ...]:
    """Return the toxics (network faults) of a fault. The name of a toxic (network fault) is made from the fault, so a
    toxic that is added twice is in force once.

    Raises BadRequest, a ValueError, for an attribute or a stream that the toxic (network fault) does not take.
    """
    recipe = _RECIPES[fault.name]
    stream: Stream | None = fault.args.get("stream", recipe.stream)
    # A toxic of Toxiproxy acts on one stream, so a fault on both streams needs two toxics.
    split = stream == "both" and "both" not in KINDS[recipe.type].streams
    streams: tuple[Stream | None, ...] = ("upstream", "downstream") if split else (stream,)
    share, attributes = fault.args.get("toxicity", 1.0), recipe.attributes(fault.args)
    return tuple(Toxic(recipe.type, side, share, f"{fault} {side or 'on'}", attributes) for side in streams)


def checked_fault(name: str, where: Where, needed: Mapping[str, Any] | None = None, **more: Any) -> Fault:
    """Return a fault that stores only those arguments that differ from their defaults. Raises ValueError for a wrong
    argument."""
    if strange := where.keys() - Where.__annotations__:
        raise ValueError(f"{name} does not take {', '.join(sorted(strange))}")
    optional = {"stream": where.get("stream"), "toxicity": where.get("toxicity", 1) % 1} | more
    if not 0 < where.get("toxicity", 1) <= 1:
        raise ValueError(f"toxicity is a share above 0 and up to 1, not {where['toxicity']}")
    fault = Fault(name, {**(needed or {}), **{key: value for key, value in optional.items() if value}})
    toxics(fault)
    return fault


def scaled(by: float, *keys: str) -> Weaker:
    """Return weaker variants of a fault: for each of these arguments, a fault with this argument multiplied by `by`;
    and a fault that strikes half the share of connections."""

    def weaker(fault: Fault) -> tuple[Fault, ...]:
        weakened = []
        for key in keys:
            value = fault.args.get(key, 0)
            changed = type(value)(value * by) or int(by > 1)
            least = SHORTEST if isinstance(value, float) else 1
            if value and least <= changed < 1_000_000 and changed != value:
                weakened.append(Fault(fault.name, {**fault.args, key: changed}))
        share = fault.args.get("toxicity", 1)
        return (*weakened, *((Fault(fault.name, {**fault.args, "toxicity": share / 2}),) if share > 0.25 else ()))

    return weaker
