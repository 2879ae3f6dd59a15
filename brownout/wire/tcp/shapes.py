"""How each toxic acts on the bytes of one stream of one connection. Pure: time and draws are given.

A shape answers, for each chunk, which pieces go on and when; the runtime (`pipe`) keeps them in order, sleeps
and counts. Semantics of the kinds that Toxiproxy has are those of its v2.12 source, file by file, quirks
included: `timeout` counts from the last byte; `limit_data` keeps its count when the toxic is updated.
"""

# ruff: noqa: D102, ARG002 - `Shape` documents what the others override

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from math import inf
from random import Random
from typing import ClassVar, Literal

FINEST = 1000  # µs
Pieces = list[tuple[float, bytes]]
Leaving = Literal["flush", "close", "reset"]


class Shape:
    """Everything passes at once: `noop`, and every toxic on a connection that its toxicity spares."""

    limit: ClassVar[int] = 1  # bytes it may hold before the sender is made to wait
    leaving: ClassVar[Leaving] = "flush"  # what becomes of the connection when the toxic is taken off
    old_only: ClassVar[bool] = False  # acts on connections that exist when it is added, alone
    apart: ClassVar[bool] = False  # pieces that are due at different times are not sent as one segment
    hard: ClassVar[bool] = False  # its deadline is a reset

    def __init__(self, values: Mapping[str, int], rng: Random, now: float, shared: MutableMapping[str, int]) -> None:
        self.values, self.rng, self.shared = values, rng, shared
        self.deadline = inf  # when the connection is ended, whatever is held
        self.start(now)

    def start(self, now: float) -> None:
        """The toxic begins to act on this connection."""

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        """The pieces that go on, each with its due time (s); `at` is when the chunk came to this toxic's door."""
        return [(now, data)]

    def end(self, now: float) -> float:
        """When the sender's end of stream goes on."""
        return now

    def inherit(self, old: Shape) -> None:
        """Take over what an updated toxic must remember."""


class Latency(Shape):
    """latency.go; its channel holds 1024 chunks of 32 KiB."""

    limit = 32 << 20

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        jitter = self.values["jitter"]
        late = self.values["latency"] + (self.rng.randrange(-jitter, jitter) if jitter else 0)
        return [(max(now, at + late / 1000), data)]


class Bandwidth(Shape):
    """bandwidth.go: KB/s are bytes a millisecond, sent at least every 100 ms."""

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
    """slow_close.go."""

    def end(self, now: float) -> float:
        return now + self.values["delay"] / 1000


class Timeout(Shape):
    """timeout.go: its timer starts again with each chunk it drops; taking it off closes the connection."""

    leaving = "close"

    def start(self, now: float) -> None:
        self.deadline = now + self.values["timeout"] / 1000 if self.values["timeout"] else inf

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        self.start(now)
        return []


class ResetPeer(Shape):
    """reset_peer.go: the first byte, or the end, lights the fuse."""

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        self.end(now)
        return []

    def end(self, now: float) -> float:
        self.deadline = min(self.deadline, now + self.values["timeout"] / 1000)
        return inf


class Slicer(Shape):
    """slicer.go: halves until a piece is small enough, the middle moved at random.

    A delay of less than a millisecond is one: a timer is no finer, in Toxiproxy neither, and slices that follow each
    other at once would be read as one.
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
        """Offsets between the slices. Toxiproxy itself dies of a size of 0, and of a variation above the size."""
        vary, size = self.values["size_variation"], max(1, self.values["average_size"])
        if end - start - size <= vary:
            return []
        middle = start + (end - start) // 2 + (self.rng.randrange(-vary, vary) if vary else 0)
        middle = min(max(middle, start + 1), end - 1)
        return [*self.cuts(start, middle), middle, *self.cuts(middle, end)]

    def end(self, now: float) -> float:
        return max(now, self.free)


class LimitData(Shape):
    """limit_data.go: closes with the byte that reaches the limit."""

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
    """Ours: a reset needs no traffic."""

    hard = True

    def start(self, now: float) -> None:
        self.deadline = now + self.values["timeout"] / 1000


class Blackhole(Shape):
    """Ours: held until healed; a sender fills its window, as with a path that loses everything."""

    limit = 256 << 10

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        return [(inf, data)]

    def end(self, now: float) -> float:
        return inf


class Swallow(Shape):
    """Ours: bytes and ends vanish; unlike `timeout` it leaves the connection alone when it goes."""

    def feed(self, data: bytes, now: float, at: float) -> Pieces:
        return []

    def end(self, now: float) -> float:
        return inf


class HalfOpen(Swallow):
    """Ours: the other end has forgotten this connection; when it is back it answers with a reset."""

    leaving, old_only = "reset", True


class Spike(Shape):
    """Ours: `shared` counts the chunks of the whole edge."""

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
