"""Faults of the network, as toxics on the edges that a target names.

A target is an edge ("api->broker"), a service ("broker": all edges that lead to it) or a process ("worker-1": all
that begin there). `stream` is "upstream", "downstream" or "both", `toxicity` the share of connections that are hit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypedDict, Unpack

from brownout.faults.edges import TARGETS, cut_once, flapping, refused, reset_once, toxic_striker
from brownout.faults.strike import Striker, enlist
from brownout.plan.duration import Duration, seconds
from brownout.plan.fault import Fault, FaultKind
from brownout.wire.toxics import BOTH_WIRES, BUILTIN, KINDS, Stream, Toxic

Weaker = Callable[[Fault], tuple[Fault, ...]]
SHORTEST = 0.001  # seconds, a toxic's unit; weakening ends here


class Where(TypedDict, total=False):
    """What the faults that are toxics also take."""

    stream: Stream
    toxicity: float


def refuse() -> Fault:
    """Nobody listens: connections are refused, and the live ones closed."""
    return Fault("refuse")


def cut() -> Fault:
    """Every live connection is closed, once; new ones work."""
    return Fault("cut")


def reset() -> Fault:
    """Every live connection gets a TCP reset (RST), once; new ones work."""
    return Fault("reset")


def flap(times: int = 2, down: Duration = "500ms", up: Duration = "500ms") -> Fault:
    """Refuses for a while, again and again."""
    if times < 1 or not seconds(down):
        raise ValueError(f"an edge that flaps is down at least once, for some time: times={times}, down={down!r}")
    return Fault("flap", {"times": times, "down": seconds(down), "up": seconds(up)})


def blackhole(**where: Unpack[Where]) -> Fault:
    """Silence, as when packets are lost; healed, held bytes arrive as if late."""
    return _toxic("blackhole", where)


def vanish(**where: Unpack[Where]) -> Fault:
    """Bytes vanish, and the connections are closed when it heals."""
    return _toxic("vanish", where)


def half_open() -> Fault:
    """Connections that exist go silent for ever; new ones work."""
    return _toxic("half_open", {})


def latency(delay: Duration, jitter: Duration = 0, **where: Unpack[Where]) -> Fault:
    """Bytes arrive late, by `delay` ± `jitter`, in order."""
    return _toxic("latency", where, {"delay": seconds(delay)}, jitter=seconds(jitter))


def spike(delay: Duration, nth: int = 1, on_top_of: Duration = 0, **where: Unpack[Where]) -> Fault:
    """One chunk, the edge's nth, arrives late by `delay`."""
    more = {"nth": nth if nth != 1 else 0, "on_top_of": seconds(on_top_of)}
    return _toxic("spike", where, {"delay": seconds(delay)}, **more)


def bandwidth(rate: int, **where: Unpack[Where]) -> Fault:
    """No more than `rate` KB/s pass; at 0 nothing does."""
    return _toxic("bandwidth", where, {"rate": rate})


def slow_close(delay: Duration, **where: Unpack[Where]) -> Fault:
    """The end of a connection is passed on late, by `delay`."""
    return _toxic("slow_close", where, {"delay": seconds(delay)})


def slicer(size: int, delay: Duration = 0, **where: Unpack[Where]) -> Fault:
    """Bytes arrive in slices of about `size`, `delay` apart."""
    if size < 1:
        raise ValueError(f"a slice has at least one byte: {size}")
    return _toxic("slicer", where, {"size": size}, delay=seconds(delay))


def limit_data(bytes: int, **where: Unpack[Where]) -> Fault:
    """Each connection is closed after so many bytes."""
    return _toxic("limit_data", where, {"bytes": bytes})


def reset_peer(delay: Duration = 0, **where: Unpack[Where]) -> Fault:
    """Connections are reset some time after their first byte, until healed."""
    return _toxic("reset_peer", where, delay=seconds(delay))


def ms(value: float) -> int:
    """Whole milliseconds, as toxics count."""
    return round(value * 1000)


#: A toxic's type, the stream when none is said, and its attributes, for the faults that are toxics.
_TOXICS: dict[str, tuple[str, Stream | None, Callable[[Mapping[str, Any]], dict[str, int]]]] = {
    "blackhole": ("blackhole", "both", lambda _: {}),
    "vanish": ("timeout", "both", lambda _: {}),
    "half_open": ("half_open", None, lambda _: {}),
    "latency": ("latency", None, lambda a: {"latency": ms(a["delay"]), "jitter": ms(a.get("jitter", 0))}),
    "spike": (
        "spike",
        None,
        lambda a: {"spike": ms(a["delay"]), "latency": ms(a.get("on_top_of", 0)), "nth": a.get("nth", 1)},
    ),
    "bandwidth": ("bandwidth", None, lambda a: {"rate": a["rate"]}),
    "slow_close": ("slow_close", None, lambda a: {"delay": ms(a["delay"])}),
    "slicer": ("slicer", None, lambda a: {"average_size": a["size"], "delay": round(a.get("delay", 0) * 1e6)}),
    "limit_data": ("limit_data", None, lambda a: {"bytes": a["bytes"]}),
    "reset_peer": ("reset_peer", None, lambda a: {"timeout": ms(a.get("delay", 0))}),
}


def toxics(fault: Fault) -> tuple[Toxic, ...]:
    """The toxics of a fault; their names follow from it, so that arming it twice is arming it once.

    Raises BadRequest, a ValueError, for what a toxic does not take.
    """
    kind, usual, attributes = _TOXICS[fault.name]
    stream: Stream | None = fault.args.get("stream", usual)
    # What Toxiproxy knows acts on one stream: for both it takes two.
    split = stream == "both" and "both" not in KINDS[kind].streams
    streams: tuple[Stream | None, ...] = ("upstream", "downstream") if split else (stream,)
    share = fault.args.get("toxicity", 1.0)
    return tuple(Toxic(kind, s, share, f"{fault} {s or 'on'}", attributes(fault.args)) for s in streams)


def _toxic(name: str, where: Where, needed: Mapping[str, Any] | None = None, **more: Any) -> Fault:
    """A fault with the arguments that differ from their defaults, checked. Raises ValueError."""
    if strange := where.keys() - Where.__annotations__:
        raise ValueError(f"{name} does not take {', '.join(sorted(strange))}")
    others = {"stream": where.get("stream"), "toxicity": where.get("toxicity", 1) % 1} | more
    if not 0 < where.get("toxicity", 1) <= 1:
        raise ValueError(f"toxicity is a share above 0 and up to 1: {where['toxicity']}")
    fault = Fault(name, {**(needed or {}), **{key: value for key, value in others.items() if value}})
    toxics(fault)
    return fault


def _scaled(by: float, *keys: str) -> Weaker:
    """Each of these arguments times `by`, one at a time, then on half the connections."""

    def weaker(fault: Fault) -> tuple[Fault, ...]:
        made = []
        for key in keys:
            value = fault.args.get(key, 0)
            scaled = type(value)(value * by) or int(by > 1)
            least = SHORTEST if isinstance(value, float) else 1
            if value and least <= scaled < 1_000_000 and scaled != value:
                made.append(Fault(fault.name, {**fault.args, key: scaled}))
        share = fault.args.get("toxicity", 1)
        return (*made, *((Fault(fault.name, {**fault.args, "toxicity": share / 2}),) if share > 0.25 else ()))

    return weaker


def _one_way_or_late(fault: Fault) -> tuple[Fault, ...]:
    """On one stream alone; there, late in place of never."""
    args = dict(fault.args)
    if args.pop("stream", "both") == "both":
        return tuple(Fault(fault.name, {**args, "stream": side}) for side in ("downstream", "upstream"))
    return (latency("1s", **fault.args),)


def _flaps_less(fault: Fault) -> tuple[Fault, ...]:
    times = fault.args["times"]
    return (Fault("flap", {**fault.args, "times": times // 2}),) if times > 1 else (cut(),)


def _slices_less(fault: Fault) -> tuple[Fault, ...]:
    return _scaled(2, "size")(fault) + _scaled(0.5, "delay")(fault)[:-1]


def _enlist(
    make: Callable[..., Fault], striker: Striker, wires: frozenset[str], weaker: Weaker = lambda _: (), heal: str = ""
) -> None:
    kind = FaultKind(make.__name__, make, TARGETS, heal or "what it held goes on at once", wires, weaker)
    enlist(kind, striker)


_AT_ONCE = "nothing to undo"
_enlist(refuse, refused, BOTH_WIRES, lambda _: (cut(),), "it listens again, on the same port")
_enlist(cut, cut_once, BOTH_WIRES, heal=_AT_ONCE)
_enlist(reset, reset_once, BUILTIN, lambda _: (cut(),), _AT_ONCE)
_enlist(flap, flapping, BOTH_WIRES, _flaps_less, "it listens again, on the same port")
for _make, _weaker, _heal in (
    (blackhole, _one_way_or_late, "on the same connections: held bytes go on"),
    (vanish, _one_way_or_late, "connections are closed, new ones work"),
    (half_open, lambda _: (blackhole(),), "the silent connections are reset"),
    (latency, _scaled(0.5, "delay", "jitter"), ""),
    (spike, _scaled(0.5, "delay", "on_top_of"), ""),
    (bandwidth, _scaled(2, "rate"), ""),
    (slow_close, _scaled(0.5, "delay"), ""),
    (slicer, _slices_less, ""),
    (limit_data, _scaled(2, "bytes"), "new connections are whole"),
    (reset_peer, lambda _: (cut(),), "new connections work"),
):
    _kind = KINDS[_TOXICS[_make.__name__][0]]
    _ends = _make in (slow_close, limit_data, reset_peer)
    _enlist(_make, toxic_striker(toxics, ends=_ends), _kind.wires, _weaker, _heal)
