"""Faults that are toxics: how one is declared, what it arms, and how it is weakened."""

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
SHORTEST = 0.001  # seconds, a toxic's unit; weakening ends here


class Where(TypedDict, total=False):
    """What the faults that are toxics also take."""

    stream: Stream
    toxicity: float


@dataclass(frozen=True)
class _Recipe:
    """A toxic's type, the stream when none is said, and its attributes from the arguments of the fault."""

    type: str
    stream: Stream | None
    attributes: Attributes


_RECIPES: dict[str, _Recipe] = {}


def toxic(
    type: str,
    attributes: Attributes = lambda _: {},
    *,
    weaker: Weaker,
    heal: str = "what it held goes on at once",
    stream: Stream | None = None,
    ends: bool = False,
) -> Callable[[Callable[P, Fault]], Callable[P, Fault]]:
    """Register the function that makes a fault whose strike arms a toxic of this type on the edges of its target.

    `ends` says that the fault is seen only by the connections that end.
    """

    def enter(make: Callable[P, Fault]) -> Callable[P, Fault]:
        _RECIPES[make.__name__] = _Recipe(type, stream, attributes)
        fault(targets=TARGETS, heal=heal, wires=KINDS[type].wires, weaker=weaker)(make)
        strikes(make)(toxic_striker(toxics, ends=ends))
        return make

    return enter


def ms(value: float) -> int:
    """Whole milliseconds, as toxics count."""
    return round(value * 1000)


def toxics(fault: Fault) -> tuple[Toxic, ...]:
    """The toxics of a fault; their names follow from it, so that arming it twice is arming it once.

    Raises BadRequest, a ValueError, for what a toxic does not take.
    """
    recipe = _RECIPES[fault.name]
    stream: Stream | None = fault.args.get("stream", recipe.stream)
    # What Toxiproxy knows acts on one stream: for both it takes two.
    split = stream == "both" and "both" not in KINDS[recipe.type].streams
    streams: tuple[Stream | None, ...] = ("upstream", "downstream") if split else (stream,)
    share, attributes = fault.args.get("toxicity", 1.0), recipe.attributes(fault.args)
    return tuple(Toxic(recipe.type, s, share, f"{fault} {s or 'on'}", attributes) for s in streams)


def made(name: str, where: Where, needed: Mapping[str, Any] | None = None, **more: Any) -> Fault:
    """A fault with the arguments that differ from their defaults, checked. Raises ValueError."""
    if strange := where.keys() - Where.__annotations__:
        raise ValueError(f"{name} does not take {', '.join(sorted(strange))}")
    others = {"stream": where.get("stream"), "toxicity": where.get("toxicity", 1) % 1} | more
    if not 0 < where.get("toxicity", 1) <= 1:
        raise ValueError(f"toxicity is a share above 0 and up to 1: {where['toxicity']}")
    fault = Fault(name, {**(needed or {}), **{key: value for key, value in others.items() if value}})
    toxics(fault)
    return fault


def scaled(by: float, *keys: str) -> Weaker:
    """Each of these arguments times `by`, one at a time, then on half the connections."""

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
