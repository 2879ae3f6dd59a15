"""Faults of the network, on the edges that a target names.

A target is an edge ("api->broker"), a service ("broker" is all edges that lead to the broker) or a process ("worker-1"
is all edges that begin there). `stream` says in which direction bytes are disturbed: "upstream" (to the service),
"downstream" or "both". `toxicity` is the share of connections that the fault strikes, above 0 and up to 1.
"""

from __future__ import annotations

from typing import Unpack

from brownout.faults.edges import TARGETS, cut_once, flapping, refused, reset_once
from brownout.faults.strike import strikes
from brownout.faults.toxic import Where, checked_fault, ms, scaled, toxic
from brownout.plan.duration import Duration, seconds
from brownout.plan.fault import Fault, fault
from brownout.plan.point import MOMENTS
from brownout.wire.tcp.toxics import BOTH_WIRES, BUILTIN

AT_ONCE = "nothing to undo"
LISTENS = "the edge listens again, on the same port"


def _to_cut(_: Fault) -> tuple[Fault, ...]:
    return (cut(),)


def _one_way_or_late(strong: Fault) -> tuple[Fault, ...]:
    """A weaker variant of a fault on both streams is the fault on one stream; a weaker variant of a fault on one stream
    is a latency of 1 s."""
    args = dict(strong.args)
    if args.pop("stream", "both") == "both":
        return tuple(Fault(strong.name, {**args, "stream": side}) for side in ("downstream", "upstream"))
    return (latency("1s", **strong.args),)


def _flaps_less(strong: Fault) -> tuple[Fault, ...]:
    times = strong.args["times"]
    return (Fault("flap", {**strong.args, "times": times // 2}),) if times > 1 else (cut(),)


def _slices_less(strong: Fault) -> tuple[Fault, ...]:
    return scaled(2, "size")(strong) + scaled(0.5, "delay")(strong)[:-1]


@fault(targets=TARGETS, heal=LISTENS, wires=BOTH_WIRES, weaker=_to_cut)
def refuse() -> Fault:
    """Nobody listens: live connections are closed, new connections are refused."""
    return Fault("refuse")


@fault(targets=TARGETS, heal=AT_ONCE, wires=BOTH_WIRES, moments=MOMENTS)
def cut() -> Fault:
    """Live connections, or the connection at a point, are closed once; new ones work."""
    return Fault("cut")


@fault(targets=TARGETS, heal=AT_ONCE, wires=BUILTIN, weaker=_to_cut, moments=MOMENTS)
def reset() -> Fault:
    """Live connections, or the connection at a point, are reset once (RST)."""
    return Fault("reset")


@fault(targets=TARGETS, heal=LISTENS, wires=BOTH_WIRES, weaker=_flaps_less)
def flap(times: int = 2, down: Duration = "500ms", up: Duration = "500ms") -> Fault:
    """The edge refuses connections for `down`, and works for `up`, `times` times."""
    if times < 1 or not seconds(down):
        raise ValueError(f"flap takes an edge down at least once and for some time; got times={times}, down={down!r}")
    return Fault("flap", {"times": times, "down": seconds(down), "up": seconds(up)})


strikes(refuse)(refused)
strikes(cut)(cut_once)
strikes(reset)(reset_once)
strikes(flap)(flapping)


@toxic("blackhole", stream="both", weaker=_one_way_or_late, heal="held bytes arrive on the same connections")
def blackhole(**where: Unpack[Where]) -> Fault:
    """No bytes arrive, as when packets are lost; they arrive when the fault heals."""
    return checked_fault("blackhole", where)


@toxic("timeout", stream="both", weaker=_one_way_or_late, heal="connections are closed, new connections work")
def vanish(**where: Unpack[Where]) -> Fault:
    """Bytes are dropped; the connections are closed when the fault heals."""
    return checked_fault("vanish", where)


@toxic("half_open", weaker=lambda _: (blackhole(),), heal="the silent connections are reset")
def half_open() -> Fault:
    """Existing connections carry no more bytes, for ever; new connections work."""
    return checked_fault("half_open", {})


@toxic(
    "latency",
    lambda args: {"latency": ms(args["delay"]), "jitter": ms(args.get("jitter", 0))},
    weaker=scaled(0.5, "delay", "jitter"),
)
def latency(delay: Duration, jitter: Duration = 0, **where: Unpack[Where]) -> Fault:
    """Bytes arrive late by `delay` ± `jitter`, and stay in order."""
    return checked_fault("latency", where, {"delay": seconds(delay)}, jitter=seconds(jitter))


@toxic(
    "spike",
    lambda args: {"spike": ms(args["delay"]), "latency": ms(args.get("on_top_of", 0)), "nth": args.get("nth", 1)},
    weaker=scaled(0.5, "delay", "on_top_of"),
)
def spike(delay: Duration, nth: int = 1, on_top_of: Duration = 0, **where: Unpack[Where]) -> Fault:
    """The edge's `nth` chunk of bytes arrives late by `delay`."""
    more = {"nth": nth if nth != 1 else 0, "on_top_of": seconds(on_top_of)}
    return checked_fault("spike", where, {"delay": seconds(delay)}, **more)


@toxic("bandwidth", lambda args: {"rate": args["rate"]}, weaker=scaled(2, "rate"))
def bandwidth(rate: int, **where: Unpack[Where]) -> Fault:
    """At most `rate` KB/s pass; at 0 nothing passes."""
    return checked_fault("bandwidth", where, {"rate": rate})


@toxic("slow_close", lambda args: {"delay": ms(args["delay"])}, weaker=scaled(0.5, "delay"), ends=True)
def slow_close(delay: Duration, **where: Unpack[Where]) -> Fault:
    """The close of a connection is passed on late by `delay`."""
    return checked_fault("slow_close", where, {"delay": seconds(delay)})


@toxic(
    "slicer",
    lambda args: {"average_size": args["size"], "delay": round(args.get("delay", 0) * 1e6)},
    weaker=_slices_less,
)
def slicer(size: int, delay: Duration = 0, **where: Unpack[Where]) -> Fault:
    """Bytes arrive in slices of about `size` bytes, `delay` apart."""
    if size < 1:
        raise ValueError(f"a slice has at least one byte: size={size}")
    return checked_fault("slicer", where, {"size": size}, delay=seconds(delay))


@toxic(
    "limit_data",
    lambda args: {"bytes": args["bytes"]},
    weaker=scaled(2, "bytes"),
    heal="new connections have no limit",
    ends=True,
)
def limit_data(bytes: int, **where: Unpack[Where]) -> Fault:
    """Each connection is closed after `bytes` bytes."""
    return checked_fault("limit_data", where, {"bytes": bytes})


@toxic(
    "reset_peer",
    lambda args: {"timeout": ms(args.get("delay", 0))},
    weaker=_to_cut,
    heal="new connections work",
    ends=True,
)
def reset_peer(delay: Duration = 0, **where: Unpack[Where]) -> Fault:
    """Each connection is reset `delay` after its first byte, until the fault heals."""
    return checked_fault("reset_peer", where, delay=seconds(delay))
