"""How each network fault acts on the bytes of one stream of one connection. The module has no clock and no random
numbers: the caller passes times and random draws.

For each chunk of bytes a shape returns the pieces to pass on, and the time at which each piece must be passed on. The
module `pipe` keeps the pieces in order, waits until they are due, and counts them. Toxics that Toxiproxy has act as in
its v2.12 source, file by file, with all peculiarities: the toxic `timeout` counts from the last byte; `limit_data`
keeps its count when its attributes are changed.
"""

# ruff: noqa: D102, ARG002 - `Shape` documents the methods that the subclasses override

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from math import inf
from random import Random
from typing import ClassVar, Literal

FINEST = 1000  # microseconds; timers have no finer resolution than this
Pieces = list[tuple[float, bytes]]
Leaving = Literal["flush", "close", "reset"]


class Shape:
    """Lets everything pass immediately: for the toxic `noop`, and for other toxics on connections on which, by chance,
    they do not act."""

    limit: ClassVar[int] = 1  # Bytes that the network fault may hold before the sender has to wait.
    # What happens to held bytes, or to the connection, when the network fault is removed.
    leaving: ClassVar[Leaving] = "flush"
    # whether the network fault acts only on connections that already exist when it is added
    old_only: ClassVar[bool] = False
    apart: ClassVar[bool] = False  # Whether pieces that are due at different times must not be sent as one TCP segment.
    hard: ClassVar[bool] = False  # Whether the connection is reset (RST) at the deadline, not closed.

    def __init__(self, values: Mapping[str, int], rng: Random, now: float, shared: MutableMapping[str, int]) -> None:
        self.values, self.rng, self.shared = values, rng, shared
        self.deadline = inf  # the time (s) at which the network fault ends the connection and drops held bytes
        self.start(now)

    def start(self, now: float) -> None:
        """Begin to act on a connection at the time `now` (s)."""

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        """Return the pieces to pass on, with the time (s) for each piece. The chunk reached the network fault at the
        time `at`."""
        return [(now, data)]

    def end(self, now: float) -> float:
        """Return the time (s) at which the end of the sender's stream is passed on."""
        return now

    def inherit(self, old: Shape) -> None:
        """Copy the state that a network fault keeps when its attributes are changed."""


class Latency(Shape):
    """Acts as Toxiproxy's latency.go, whose channel holds 1024 chunks of 32 KiB."""

    limit = 32 << 20

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        jitter = self.values["jitter"]
        late = self.values["latency"] + (self.rng.randrange(-jitter, jitter) if jitter else 0)
        return [(max(now, at + late / 1000), data)]


class Bandwidth(Shape):
    """Acts as Toxiproxy's bandwidth.go: a rate in KB/s is bytes per ms; bytes are sent every 100 ms at least."""

    free = 0.0

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        rate = self.values["rate"]
        if rate == 0:
            return [(inf, data)]
        self.free, pieces, step = max(self.free, now), [], rate * 100
        for i in range(0, len(data), step):
            piece = data[i : i + step]
            self.free += len(piece) / rate / 1000
            pieces.append((self.free, piece))
        return pieces


class SlowClose(Shape):
    """Acts as Toxiproxy's slow_close.go: the end of the stream is late."""

    def end(self, now: float) -> float:
        return now + self.values["delay"] / 1000


class Timeout(Shape):
    """Acts as Toxiproxy's timeout.go: each dropped chunk restarts the timer; removal closes the connection."""

    leaving = "close"

    def start(self, now: float) -> None:
        self.deadline = now + self.values["timeout"] / 1000 if self.values["timeout"] else inf

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        self.start(now)
        return []


class ResetPeer(Shape):
    """Acts as Toxiproxy's reset_peer.go: the timer starts with the first byte or with the end of the stream."""

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        self.end(now)
        return []

    def end(self, now: float) -> float:
        self.deadline = min(self.deadline, now + self.values["timeout"] / 1000)
        return inf


class Slicer(Shape):
    """Acts as Toxiproxy's slicer.go: chunks are cut near their middle, at random, until pieces are small enough.

    A delay of less than 1 ms becomes 1 ms. Timers have no finer resolution, in Toxiproxy too, and the receiver would
    read slices without a gap as one piece.
    """

    apart = True
    free = 0.0

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        self.free, pieces = max(self.free, now), []
        gap = max(self.values["delay"], FINEST) / 1e6 if self.values["delay"] else 0
        cuts = self.cuts(0, len(data))
        for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
            pieces.append((self.free, data[start:stop]))
            self.free += gap
        return pieces

    def cuts(self, start: int, end: int) -> list[int]:
        """Return the offsets at which a chunk of bytes is cut into slices. Size 0, or a variation above the size,
        crashes Toxiproxy itself."""
        vary, size = self.values["size_variation"], max(1, self.values["average_size"])
        if end - start - size <= vary:
            return []
        middle = start + (end - start) // 2 + (self.rng.randrange(-vary, vary) if vary else 0)
        middle = min(max(middle, start + 1), end - 1)
        return [*self.cuts(start, middle), middle, *self.cuts(middle, end)]

    def end(self, now: float) -> float:
        return max(now, self.free)


class LimitData(Shape):
    """Acts as Toxiproxy's limit_data.go: the connection is closed after the byte that reaches the limit."""

    passed = 0

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        data = data[: max(0, self.values["bytes"] - self.passed)]
        self.passed += len(data)
        if self.passed >= self.values["bytes"]:
            self.deadline = now
        return [(now, data)] if data else []

    def inherit(self, old: Shape) -> None:
        self.passed = old.passed if isinstance(old, LimitData) else 0


class Rst(Shape):
    """Acts as no toxic of Toxiproxy: the connection is reset after a time, even without traffic."""

    hard = True

    def start(self, now: float) -> None:
        self.deadline = now + self.values["timeout"] / 1000


class Blackhole(Shape):
    """Acts as no toxic of Toxiproxy: bytes are held until the toxic is removed, so the sender's buffers fill, as if all
    packets were lost."""

    limit = 256 << 10

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        return [(inf, data)]

    def end(self, now: float) -> float:
        return inf


class Swallow(Shape):
    """Acts as no toxic of Toxiproxy: bytes and ends of streams are dropped. Unlike removing `timeout`, removing this
    network fault closes no connection."""

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        return []

    def end(self, now: float) -> float:
        return inf


class HalfOpen(Swallow):
    """Acts as no toxic of Toxiproxy: as if the other end had lost the connection, bytes are dropped, and removing the
    toxic resets the connection."""

    leaving, old_only = "reset", True


class Spike(Shape):
    """Acts as no toxic of Toxiproxy: the nth chunk of the edge is later than the other chunks; `shared` counts the
    chunks of all connections of the edge."""

    limit = Latency.limit

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        n = self.shared["chunks"] = self.shared.get("chunks", 0) + 1
        late = self.values["latency"] + (self.values["spike"] if n == self.values["nth"] else 0)
        return [(max(now, at + late / 1000), data)]


SHAPES: dict[str, type[Shape]] = {
    "noop": Shape,
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slow_close": SlowClose,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "limit_data": LimitData,
    "down": Shape,
    "rst": Rst,
    "blackhole": Blackhole,
    "swallow": Swallow,
    "half_open": HalfOpen,
    "spike": Spike,
}
