"""Toxics (Toxiproxy's word for network faults), as data without I/O; the module `shapes` says how each toxic acts.

Toxics that both network proxies have use Toxiproxy's names, attributes, units and defaults (v2.12, `toxics/*.go`). The
attributes of network faults are whole numbers. Times are in ms (the delay of a slicer: µs), rates in KB/s, sizes in
bytes.
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
    """A toxic (a network fault) on one direction of a network edge. Functions of this module make network faults;
    `from_json` reads the JSON that `to_json` returns.

    The toxic acts on a share of connections, its `toxicity` (0..1); a random draw decides for each connection.
    `name` is unique on a network edge; the default is Toxiproxy's `<type>_<stream>`. Raises BadRequest for an unknown
    type, stream or attribute.
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
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise BadRequest(f"no toxic is called {self.type!r}{hint}")
        stream = self.stream or kind.streams[0]
        if stream not in kind.streams:
            raise BadRequest(f"{self.type} acts on {' or '.join(kind.streams)}, not on {stream!r}")
        self._check(kind)
        object.__setattr__(self, "stream", stream)
        object.__setattr__(self, "name", self.name or (self.type if stream == "both" else f"{self.type}_{stream}"))
        object.__setattr__(self, "attributes", {**kind.attributes, **self.attributes})

    def _check(self, kind: Kind) -> None:
        if not 0 <= self.toxicity <= 1:
            raise BadRequest(f"toxicity is a share of connections from 0 to 1, not {self.toxicity}")
        for key, value in self.attributes.items():
            if key not in kind.attributes or type(value) is not int or value < 0:
                names = ", ".join(kind.attributes) or "no attribute"
                raise BadRequest(f"{self.type} takes whole numbers from 0 for {names}, not {key}={value!r}")

    @property
    def wires(self) -> frozenset[str]:
        """The network proxies that have this type of toxic: "builtin", "toxiproxy"."""
        return KINDS[self.type].wires

    def to_json(self) -> dict[str, Any]:
        """Return the toxic as Toxiproxy's JSON."""
        return {
            "attributes": dict(self.attributes),
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Toxic:
        """Read a toxic from Toxiproxy's JSON. Raises BadRequest for unknown names of any sort."""
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
    """A toxic with values that Toxiproxy's API accepts: any toxicity, negative attributes, stream in capitals.

    A toxicity below 0 acts on no connection, and a toxicity above 1 on all. A negative attribute has the same effect as
    0.
    """

    written: str = ""

    def _check(self, kind: Kind) -> None:
        """Accept every value of an attribute, as Toxiproxy does."""

    def to_json(self) -> dict[str, Any]:
        """Return the toxic as Toxiproxy's JSON, with the stream as it was written."""
        return Toxic.to_json(self) | {"stream": self.written}


class Where(TypedDict, total=False):
    """Arguments of every function that makes a toxic: on which stream and connections it acts, and its name."""

    stream: Stream
    toxicity: float
    name: str


@dataclass(frozen=True, slots=True)
class Kind:
    """The properties of a type of network fault; the module `shapes` says how the type acts on bytes."""

    make: Callable[..., Toxic]
    attributes: Mapping[str, int]
    wires: frozenset[str]
    streams: tuple[Stream, ...]

    @property
    def summary(self) -> str:
        """A line about the type of network fault, for reports and the docs."""
        return (self.make.__doc__ or "").partition("\n")[0]


def noop(**where: Unpack[Where]) -> Toxic:
    """Bytes pass unchanged."""
    return Toxic("noop", **where)


def latency(latency: int, jitter: int = 0, **where: Unpack[Where]) -> Toxic:
    """Every chunk arrives `latency` ± `jitter` ms late, and chunks keep their order."""
    return Toxic("latency", attributes={"latency": latency, "jitter": jitter}, **where)


def bandwidth(rate: int, **where: Unpack[Where]) -> Toxic:
    """At most `rate` KB/s pass; with a `rate` of 0 nothing passes."""
    return Toxic("bandwidth", attributes={"rate": rate}, **where)


def slow_close(delay: int, **where: Unpack[Where]) -> Toxic:
    """The end of a connection is passed on `delay` ms late."""
    return Toxic("slow_close", attributes={"delay": delay}, **where)


def timeout(timeout: int = 0, **where: Unpack[Where]) -> Toxic:
    """Bytes are dropped, and the connection is closed after `timeout` ms without bytes (0: only when healed)."""
    return Toxic("timeout", attributes={"timeout": timeout}, **where)


def reset_peer(timeout: int = 0, **where: Unpack[Where]) -> Toxic:
    """A connection ends `timeout` ms after its next byte: new connections are reset, older ones are closed."""
    return Toxic("reset_peer", attributes={"timeout": timeout}, **where)


def slicer(average_size: int, size_variation: int = 0, delay: int = 0, **where: Unpack[Where]) -> Toxic:
    """Chunks are cut into slices of `average_size` ± `size_variation` bytes, which arrive `delay` µs apart."""
    sizes = {"average_size": average_size, "size_variation": size_variation, "delay": delay}
    return Toxic("slicer", attributes=sizes, **where)


def limit_data(bytes: int, **where: Unpack[Where]) -> Toxic:
    """Each connection is closed after `bytes` bytes."""
    return Toxic("limit_data", attributes={"bytes": bytes}, **where)


def down() -> Toxic:
    """The network edge does not listen: new connections are refused, and live connections are closed."""
    return Toxic("down", name="down")


def rst(timeout: int = 0, **where: Unpack[Where]) -> Toxic:
    """All connections, old and new, get a TCP reset (RST) after `timeout` ms, even without traffic."""
    return Toxic("rst", attributes={"timeout": timeout}, **where)


def blackhole(**where: Unpack[Where]) -> Toxic:
    """No byte arrives, as if all packets were lost; when healed, the held bytes arrive on the same connection."""
    return Toxic("blackhole", **where)


def swallow(**where: Unpack[Where]) -> Toxic:
    """Bytes are dropped for good; when healed, the connection works again."""
    return Toxic("swallow", **where)


def half_open(**where: Unpack[Where]) -> Toxic:
    """Existing connections carry no more bytes while new connections work; healing resets the existing ones."""
    return Toxic("half_open", **where)


def spike(latency: int, spike: int, nth: int = 1, **where: Unpack[Where]) -> Toxic:
    """Every chunk is `latency` ms late, and the `nth` chunk of the edge is `spike` ms later than that."""
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
