"""Toxics as data: what goes wrong on an edge. Nothing here does I/O; `shapes` says how each one acts.

Names, attributes, units and defaults of the kinds that both wires know are Toxiproxy's (v2.12, `toxics/*.go`).
Attributes are whole numbers; times are milliseconds (a slicer's delay: microseconds), rates KB/s, sizes bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, TypedDict, Unpack

from brownout.wire.errors import BadRequest

Stream = Literal["upstream", "downstream", "both"]
BOTH_WIRES = frozenset({"builtin", "toxiproxy"})
BUILTIN = frozenset({"builtin"})


@dataclass(frozen=True, slots=True)
class Toxic:
    """One toxic on one stream of an edge. Make it with the functions below; `from_json(to_json())` is the same.

    `toxicity` is the share of connections it acts on (0..1), drawn once for each of them. `name` is unique on
    an edge and defaults to Toxiproxy's `<type>_<stream>`. Raises BadRequest for what the kind does not know.
    """

    type: str
    stream: Stream | None = None
    toxicity: float = 1.0
    name: str = ""
    attributes: Mapping[str, int] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        kind = KINDS.get(self.type)
        if kind is None:
            near = get_close_matches(self.type, KINDS, n=3)
            raise BadRequest(f"no toxic {self.type!r}" + (f"; near: {', '.join(near)}" if near else ""))
        stream = self.stream or kind.streams[0]
        if stream not in kind.streams:
            raise BadRequest(f"{self.type} acts on {' or '.join(kind.streams)}, not on {stream!r}")
        self._check(kind)
        object.__setattr__(self, "stream", stream)
        object.__setattr__(self, "name", self.name or (self.type if stream == "both" else f"{self.type}_{stream}"))
        object.__setattr__(self, "attributes", {**kind.attributes, **self.attributes})

    def _check(self, kind: Kind) -> None:
        if not 0 <= self.toxicity <= 1:
            raise BadRequest(f"toxicity is a share from 0 to 1, not {self.toxicity}")
        for key, value in self.attributes.items():
            if key not in kind.attributes or type(value) is not int or value < 0:
                raise BadRequest(f"{self.type} takes whole numbers {list(kind.attributes)}, not {key}={value!r}")

    @property
    def wires(self) -> frozenset[str]:
        """Which wires can do it: `builtin`, `toxiproxy`."""
        return KINDS[self.type].wires

    def to_json(self) -> dict[str, Any]:
        """As Toxiproxy writes it."""
        return {
            "attributes": dict(self.attributes),
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Toxic:
        """Raises BadRequest for unknown fields, types, streams or attributes."""
        try:
            return Toxic(**data)
        except TypeError as wrong:
            raise BadRequest(f"not a toxic: {wrong}") from None

    def __str__(self) -> str:
        inside = ", ".join(f"{key}={value}" for key, value in self.attributes.items())
        share = "" if self.toxicity == 1 else f" of {self.toxicity:g}"
        return f"{self.type}({inside}) {self.stream}{share}"


@dataclass(frozen=True, slots=True)
class AnyToxic(Toxic):
    """A toxic as Toxiproxy's API takes it: any share, negative attributes, and its stream written in any case.

    A share below 0 acts on no connection, one above 1 on all; a negative attribute acts as 0 does.
    """

    written: str = ""

    def _check(self, kind: Kind) -> None:
        """Everything is allowed."""

    def to_json(self) -> dict[str, Any]:
        """As Toxiproxy writes it."""
        return Toxic.to_json(self) | {"stream": self.written}


class Where(TypedDict, total=False):
    """Where a toxic acts: what every function below also takes."""

    stream: Stream
    toxicity: float
    name: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of a type of toxic, beside how it acts."""

    make: Callable[..., Toxic]
    attributes: Mapping[str, int]
    wires: frozenset[str]
    streams: tuple[Stream, ...]

    @property
    def summary(self) -> str:
        """One line, for a report's row and the docs."""
        return (self.make.__doc__ or "").partition("\n")[0]


def noop(**where: Unpack[Where]) -> Toxic:
    """Nothing: bytes pass as they came."""
    return Toxic("noop", **where)


def latency(latency: int, jitter: int = 0, **where: Unpack[Where]) -> Toxic:
    """Every chunk arrives `latency` ± `jitter` ms late, in order."""
    return Toxic("latency", attributes={"latency": latency, "jitter": jitter}, **where)


def bandwidth(rate: int, **where: Unpack[Where]) -> Toxic:
    """No more than `rate` KB/s pass; at 0 nothing does."""
    return Toxic("bandwidth", attributes={"rate": rate}, **where)


def slow_close(delay: int, **where: Unpack[Where]) -> Toxic:
    """The end of a connection is passed on `delay` ms late."""
    return Toxic("slow_close", attributes={"delay": delay}, **where)


def timeout(timeout: int = 0, **where: Unpack[Where]) -> Toxic:
    """Bytes vanish, and after `timeout` ms of silence the connection is closed; at 0 only when healed."""
    return Toxic("timeout", attributes={"timeout": timeout}, **where)


def reset_peer(timeout: int = 0, **where: Unpack[Where]) -> Toxic:
    """`timeout` ms after its first byte a connection opened since is reset; an older one is closed."""
    return Toxic("reset_peer", attributes={"timeout": timeout}, **where)


def slicer(average_size: int, size_variation: int = 0, delay: int = 0, **where: Unpack[Where]) -> Toxic:
    """Chunks arrive in slices of `average_size` ± `size_variation` bytes, `delay` µs apart."""
    sizes = {"average_size": average_size, "size_variation": size_variation, "delay": delay}
    return Toxic("slicer", attributes=sizes, **where)


def limit_data(bytes: int, **where: Unpack[Where]) -> Toxic:
    """The connection is closed after `bytes` bytes."""
    return Toxic("limit_data", attributes={"bytes": bytes}, **where)


def down() -> Toxic:
    """Nobody listens: connections are refused, and the live ones closed."""
    return Toxic("down", name="down")


def rst(timeout: int = 0, **where: Unpack[Where]) -> Toxic:
    """Live connections get a TCP reset (RST) after `timeout` ms, idle or not, and new ones too."""
    return Toxic("rst", attributes={"timeout": timeout}, **where)


def blackhole(**where: Unpack[Where]) -> Toxic:
    """Silence, as when packets are lost on the way; healed, the held bytes arrive on the same connection."""
    return Toxic("blackhole", **where)


def swallow(**where: Unpack[Where]) -> Toxic:
    """Bytes vanish for good, and the connection goes on when healed."""
    return Toxic("swallow", **where)


def half_open(**where: Unpack[Where]) -> Toxic:
    """Connections that exist go silent for ever while new ones work; healing resets them."""
    return Toxic("half_open", **where)


def spike(latency: int, spike: int, nth: int = 1, **where: Unpack[Where]) -> Toxic:
    """A constant `latency` ms, and for the edge's `nth` chunk `spike` ms more, once."""
    return Toxic("spike", attributes={"latency": latency, "spike": spike, "nth": nth}, **where)


_SIDES: tuple[Stream, ...] = ("downstream", "upstream")
_ANY: tuple[Stream, ...] = ("both", "upstream", "downstream")

KINDS: dict[str, Kind] = {
    "noop": Kind(noop, {}, BOTH_WIRES, _SIDES),
    "latency": Kind(latency, {"latency": 0, "jitter": 0}, BOTH_WIRES, _SIDES),
    "bandwidth": Kind(bandwidth, {"rate": 0}, BOTH_WIRES, _SIDES),
    "slow_close": Kind(slow_close, {"delay": 0}, BOTH_WIRES, _SIDES),
    "timeout": Kind(timeout, {"timeout": 0}, BOTH_WIRES, _SIDES),
    "reset_peer": Kind(reset_peer, {"timeout": 0}, BOTH_WIRES, _SIDES),
    "slicer": Kind(slicer, {"average_size": 0, "size_variation": 0, "delay": 0}, BOTH_WIRES, _SIDES),
    "limit_data": Kind(limit_data, {"bytes": 0}, BOTH_WIRES, _SIDES),
    "down": Kind(down, {}, BOTH_WIRES, ("both",)),
    "rst": Kind(rst, {"timeout": 0}, BUILTIN, ("both",)),
    "blackhole": Kind(blackhole, {}, BUILTIN, _ANY),
    "swallow": Kind(swallow, {}, BUILTIN, _ANY),
    "half_open": Kind(half_open, {}, BUILTIN, ("both",)),
    "spike": Kind(spike, {"latency": 0, "spike": 0, "nth": 1}, BUILTIN, _SIDES),
}
