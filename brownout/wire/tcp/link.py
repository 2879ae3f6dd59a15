"""A link is one connection through an edge: the transports of client and server, and a pipe for each direction."""

# ruff: noqa: D102 - asyncio.Protocol documents its callbacks

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, cast

from brownout.wire.redis.passage import Passage
from brownout.wire.tcp.armed import Armed
from brownout.wire.tcp.pipe import Pipe, Stage
from brownout.wire.tcp.shapes import SHAPES
from brownout.wire.tcp.toxics import Toxic

if TYPE_CHECKING:
    from brownout.wire.tcp.edge import Edge

#: The largest number of bytes that are read in one call. The default of asyncio
#: (asyncio.selector_events._SelectorSocketTransport.max_size) is 256 KiB: glibc may map and unmap a buffer of this size
#: for every chunk, with two page faults (M_MMAP_THRESHOLD in mallopt(3)).
CHUNK = 64 << 10
EARLY = 1 << 20  # Bytes that are kept from one side before the other side is connected.
NO_LINGER = struct.pack("ii", 1, 0)  # With this value of SO_LINGER, close() sends RST (socket(7)).


class Side(asyncio.Protocol):
    """One end of a link: the client's or the server's connection. asyncio sets TCP_NODELAY on both ends of a link."""

    reads: Pipe  # The pipe that gets the bytes that this side sends.
    writes: Pipe  # The pipe that brings the bytes that this side receives.
    transport: asyncio.Transport

    def __init__(self, link: Link, name: str) -> None:
        self.link, self.name = link, name
        self.early = bytearray()  # Bytes that came before the other side was connected.
        # A function that is called if this side ends before the other side is connected.
        self.leaving: Callable[[], object] | None = None
        self.ended = self.gone = self.failed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if hasattr(transport, "max_size"):  # only transports of asyncio, not of uvloop, have this attribute
            vars(transport)["max_size"] = CHUNK

    def data_received(self, data: bytes) -> None:
        """Keep the bytes of this side until the other side is connected; then `Pipe.route` replaces this method."""
        self.early += data
        if len(self.early) > EARLY:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.ended = True
        if self.link.opened:
            self.reads.finish("eof")
        elif self.leaving:
            self.leaving()
        return True  # the result True keeps the transport open, because the other direction goes on

    def pause_writing(self) -> None:
        self.writes.full = True
        self.writes.flow()

    def resume_writing(self) -> None:
        self.writes.full = False
        self.writes.flow()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone, self.failed = True, exc is not None
        if self.leaving and not self.link.opened:
            self.leaving()
        self.link.lost(self)


class Link:
    """A connection through a network edge. A link is created when the edge accepts a client; it is `opened` when both
    sides are connected, and `over` when no more bytes may pass."""

    def __init__(self, edge: Edge, number: int) -> None:
        self.edge, self.number = edge, number
        self.client, self.server = Side(self, "client"), Side(self, "server")
        self.up = Pipe(self, "upstream", self.client, self.server)
        self.down = Pipe(self, "downstream", self.server, self.client)
        self.client.reads = self.server.writes = self.up
        self.server.reads = self.client.writes = self.down
        self.opened = self.over = False
        self.passage = Passage(self, edge.director) if edge.director else None
        self.hits: dict[str, bool] = {}
        self.rngs: dict[str, Random] = {}

    def open(self) -> None:
        """Begin to pass bytes on; the bytes that came before both sides were connected pass first."""
        self.opened = True
        for armed in list(self.edge.armed.values()):
            # SO_LINGER is set on both ends as late as here, because Toxiproxy's link.go does so
            if armed.toxic.type == "reset_peer":
                self.linger()
            if not SHAPES[armed.toxic.type].old_only:
                self.arm(armed)
        for pipe in (self.up, self.down):
            pipe.route()
        for side in (self.client, self.server):
            self._catch_up(side)
        for pipe in (self.up, self.down):
            pipe.flow()

    def _catch_up(self, side: Side) -> None:
        """Pass on bytes and ends of streams that came from `side` before both sides were connected."""
        if side.early and not self.over:
            side.data_received(bytes(side.early))
        if side.ended and not self.over:
            side.reads.finish("eof")
        if side.gone:
            self.lost(side)

    def arm(self, armed: Armed) -> None:
        """Append a network fault as the last stage through which the bytes of its direction pass."""
        for pipe in (self.up, self.down):
            if armed.toxic.stream in (pipe.stream, "both") and not self.over and not pipe.finished:
                stage = Stage(pipe, armed)
                pipe.stages.append(stage)
                stage.adopt(armed)
                pipe.route()

    def rearm(self, armed: Armed) -> None:
        """Change the attributes of a toxic that is in force; a new random draw decides whether it acts on this link."""
        self.hits.pop(armed.toxic.name, None)
        for pipe in (self.up, self.down):
            for stage in [s for s in pipe.stages if s.armed.toxic.name == armed.toxic.name]:
                stage.update(armed)
            pipe.flow()

    def disarm(self, name: str) -> None:
        """Remove the network fault with this name; the bytes that it held back are passed on immediately."""
        self.hits.pop(name, None)
        for pipe in (self.up, self.down):
            for stage in [s for s in pipe.stages if s.armed.toxic.name == name]:
                stage.leave()
                pipe.stages.remove(stage)
                pipe.route()
            pipe.flow()

    def draw(self, armed: Armed) -> bool:
        """Return whether the network fault acts on this connection; one random draw decides for both directions."""
        toxic = armed.toxic
        if toxic.name not in self.hits:
            self.hits[toxic.name] = self.rng(toxic).random() < toxic.toxicity
        return self.hits[toxic.name]

    def rng(self, toxic: Toxic) -> Random:
        """Return the source of random numbers for a network fault on this connection. Random numbers for one network
        fault do not change the random numbers for another one."""
        if toxic.name not in self.rngs:
            self.rngs[toxic.name] = Random(f"{self.edge.seed}/{self.edge.name}/{self.number}/{toxic.name}")
        return self.rngs[toxic.name]

    def linger(self) -> None:
        """Make every later close of an end send RST instead of FIN (SO_LINGER)."""
        for side in (self.client, self.server):
            if not side.gone:
                sock = side.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)

    def reset(self, by: str) -> None:
        """Send RST to both ends of the connection, unless they are closed."""
        if not self.over:
            self.linger()
            self.edge.note("reset", connection=self.number, by=by)
            self.abort()

    def abort(self) -> None:
        """Close both ends now with FIN, as if a process had ended; bytes that are not sent yet are lost."""
        if not self.over:
            self.finish()
            for side in (self.client, self.server):
                side.transport.abort()

    def finish(self) -> None:
        """Pass no more bytes on; bytes that network faults hold back are dropped."""
        self.over, was_over = True, self.over
        if self.passage and not was_over:
            self.passage.director.ended(self.passage)
        for pipe in (self.up, self.down):
            if self.opened:
                pipe.route()
            for stage in pipe.stages:
                stage.over = True
                stage.sleep()

    def lost(self, side: Side) -> None:
        """Handle the end of a side's connection: after an error the other side is reset, else it is closed."""
        side.writes.finished = True
        if self.opened and not self.over:
            side.writes.route()
            if not side.reads.finished:
                side.reads.finish("reset" if side.failed else "close")
            elif side.failed:  # the error came after this side had ended its stream, and this end was already passed on
                self.reset(side.name)
            else:
                (self.server if side is self.client else self.client).transport.close()
        if self.client.gone and self.server.gone:
            self.finish()
            self.edge.gone(self)

    def settle(self) -> None:
        """Close both sides, after their buffers are flushed, if both streams have ended without an error."""
        if self.up.finished and self.down.finished:
            self.client.transport.close()
            self.server.transport.close()
