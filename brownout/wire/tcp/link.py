"""One connection through an edge: two transports and the two pipes between them."""

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

#: Bytes read at once. asyncio asks for 256 KiB (asyncio.selector_events._SelectorSocketTransport.max_size), which glibc
#: may map and unmap for every chunk, however short: two page faults each (M_MMAP_THRESHOLD in mallopt(3)).
CHUNK = 64 << 10
EARLY = 1 << 20  # bytes, of one side, before the other is there
NO_LINGER = struct.pack("ii", 1, 0)  # close() sends RST (socket(7), SO_LINGER)


class Side(asyncio.Protocol):
    """One end of a link. asyncio has set TCP_NODELAY on it."""

    reads: Pipe  # takes what this side sends
    writes: Pipe  # brings what this side gets
    transport: asyncio.Transport

    def __init__(self, link: Link, name: str) -> None:
        self.link, self.name = link, name
        self.early = bytearray()  # what came before the other side was there
        self.leaving: Callable[[], object] | None = None  # called if it goes before that
        self.ended = self.gone = self.failed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if hasattr(transport, "max_size"):  # asyncio's own
            vars(transport)["max_size"] = CHUNK

    def data_received(self, data: bytes) -> None:
        """Until the other side is there: then `Pipe.route` takes its place."""
        self.early += data
        if len(self.early) > EARLY:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.ended = True
        if self.link.opened:
            self.reads.finish("eof")
        elif self.leaving:
            self.leaving()
        return True  # the other stream goes on

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
    """Born with the dial, opened when both sides are there, over when both are gone."""

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
        """Let the bytes flow, those first that came during the dial."""
        self.opened = True
        for one in list(self.edge.armed.values()):
            if one.toxic.type == "reset_peer":  # link.go sets it on both ends, then or never
                self.linger()
            if not SHAPES[one.toxic.type].old_only:
                self.arm(one)
        for pipe in (self.up, self.down):
            pipe.route()
        for side in (self.client, self.server):
            self._catch_up(side)
        for pipe in (self.up, self.down):
            pipe.flow()

    def _catch_up(self, side: Side) -> None:
        """Pass on what came from it before the link was open."""
        if side.early and not self.over:
            side.data_received(bytes(side.early))
        if side.ended and not self.over:
            side.reads.finish("eof")
        if side.gone:
            self.lost(side)

    def arm(self, armed: Armed) -> None:
        """Put a toxic at the end of the chain of its stream."""
        for pipe in (self.up, self.down):
            if armed.toxic.stream in (pipe.stream, "both") and not self.over and not pipe.finished:
                stage = Stage(pipe, armed)
                pipe.stages.append(stage)
                stage.adopt(armed)
                pipe.route()

    def rearm(self, armed: Armed) -> None:
        """The toxic of that name has other attributes now; its toxicity is drawn again."""
        self.hits.pop(armed.toxic.name, None)
        for pipe in (self.up, self.down):
            for stage in [s for s in pipe.stages if s.armed.toxic.name == armed.toxic.name]:
                stage.update(armed)
            pipe.flow()

    def disarm(self, name: str) -> None:
        """Take a toxic off; what it held goes on at once."""
        self.hits.pop(name, None)
        for pipe in (self.up, self.down):
            for stage in [s for s in pipe.stages if s.armed.toxic.name == name]:
                stage.leave()
                pipe.stages.remove(stage)
                pipe.route()
            pipe.flow()

    def draw(self, armed: Armed) -> bool:
        """Does the toxic act on this connection? One draw for both streams."""
        toxic = armed.toxic
        if toxic.name not in self.hits:
            self.hits[toxic.name] = self.rng(toxic).random() < toxic.toxicity
        return self.hits[toxic.name]

    def rng(self, toxic: Toxic) -> Random:
        """Its own stream of draws for each toxic on each connection, so that none moves another's."""
        if toxic.name not in self.rngs:
            self.rngs[toxic.name] = Random(f"{self.edge.seed}/{self.edge.name}/{self.number}/{toxic.name}")
        return self.rngs[toxic.name]

    def linger(self) -> None:
        """From now on, closing an end resets it."""
        for side in (self.client, self.server):
            if not side.gone:
                sock = side.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)

    def reset(self, by: str) -> None:
        """RST to both ends that are still there."""
        if not self.over:
            self.linger()
            self.edge.note("reset", connection=self.number, by=by)
            self.abort()

    def abort(self) -> None:
        """Close both ends now: FIN, as a process that ends; unsent bytes are lost."""
        if not self.over:
            self.finish()
            for side in (self.client, self.server):
                side.transport.abort()

    def finish(self) -> None:
        """Nothing passes any more; what the stages hold is dropped."""
        self.over, was = True, self.over
        if self.passage and not was:
            self.passage.director.ended(self.passage)
        for pipe in (self.up, self.down):
            if self.opened:
                pipe.route()
            for stage in pipe.stages:
                stage.over = True
                stage.sleep()

    def lost(self, side: Side) -> None:
        """A side is gone: by an error of its connection, which goes on to the other as a reset, or closed by us."""
        side.writes.finished = True
        if self.opened and not self.over:
            side.writes.route()
            if not side.reads.finished:
                side.reads.finish("reset" if side.failed else "close")
            elif side.failed:  # its end had gone on already
                self.reset(side.name)
            else:
                (self.server if side is self.client else self.client).transport.close()
        if self.client.gone and self.server.gone:
            self.finish()
            self.edge.gone(self)

    def settle(self) -> None:
        """Both streams have ended in good order: close both sides once they are flushed."""
        if self.up.finished and self.down.finished:
            self.client.transport.close()
            self.server.transport.close()
