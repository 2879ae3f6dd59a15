"""A pipe is one direction of a connection: the bytes of one side pass through the toxics and go to the other side.

Without toxics and observer, the reading transport calls the other transport's `write` directly, without any code of the
network proxy. All methods of a pipe run on the network proxy's event loop, so no byte can pass while a toxic is being
added.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from math import ceil, inf
from time import monotonic
from typing import TYPE_CHECKING, Literal

from brownout.wire.tcp.armed import Armed
from brownout.wire.tcp.shapes import SHAPES, Shape

if TYPE_CHECKING:
    from brownout.wire.tcp.link import Link, Side

# The ends of a connection: one stream ends (half-close), both streams end (FIN), or a reset (RST)
End = Literal["eof", "close", "reset"]


class Stage:
    """A network fault that acts in a pipe: keeps chunks in order, waits until they are due, and counts them."""

    def __init__(self, pipe: Pipe, armed: Armed) -> None:
        self.pipe, self.loop = pipe, pipe.link.edge.loop
        # Entries of the queue: the time (s) at which to pass it on, the chunk or the end of the stream, the number of
        # bytes
        self.queue: deque[tuple[float, bytes | End, int]] = deque()
        self.held = 0  # The number of bytes in the queue.
        self.last = 0.0  # The time (s) at which the last chunk or end is passed on.
        self.over = False  # Whether the network fault of this stage has ended the stream.
        self.timer: asyncio.TimerHandle | None = None
        self.armed = armed

    def adopt(self, armed: Armed) -> None:
        """From now on act as the toxic `armed` says, if a random draw decides that the toxic acts on this
        connection."""
        self.armed = armed
        act = SHAPES[armed.toxic.type] if self.pipe.link.draw(armed) else Shape
        rng = self.pipe.link.rng(armed.toxic)
        values = {key: max(0, value) for key, value in armed.toxic.attributes.items()}
        self.shape = act(values, rng, monotonic(), armed.shared)
        self.sleep()

    def update(self, armed: Armed) -> None:
        """Change the attributes of the network fault. Bytes that are held back pass immediately, as in Toxiproxy; an
        end that is held back gets a new time at which it passes."""
        ends = [data for _, data, _ in self.queue if isinstance(data, str)]
        old, self.last = self.shape, 0.0
        self.flush(ends=False)
        self.adopt(armed)
        self.shape.inherit(old)
        for how in ends:
            self.end(how)

    def leave(self) -> None:
        """Handle the removal of the toxic; held bytes and connection are treated as `Shape.leaving` says."""
        kind = SHAPES[self.armed.toxic.type]
        if self.timer:
            self.timer.cancel()
        if self.over:
            return
        if kind.leaving == "reset" and isinstance(self.shape, kind):
            self.pipe.link.reset("wire")
        # the connection is closed even if the toxic did not act on it, as in Toxiproxy's ToxicLink.RemoveToxic
        elif kind.leaving == "close":
            self.pipe.passed(self, "close")
        else:
            self.flush()

    def flush(self, *, ends: bool = True) -> None:
        """Pass on immediately all chunks and ends that are held back; if `ends` is False, only the chunks."""
        queue, self.queue, self.held = self.queue, deque(), 0
        for _, data, _ in queue:
            if ends or not isinstance(data, str):
                self.pipe.passed(self, data)

    def feed(self, data: bytes, at: float) -> None:
        """Handle a chunk that reached this network fault at the time `at` (s, monotonic)."""
        if self.over:
            return
        now = monotonic()
        pieces = self.shape.feed(data, now, at)
        passing = sum(len(piece) for _, piece in pieces)
        shaped = passing if len(pieces) > 1 or (pieces and pieces[-1][0] > now) else 0
        if shaped or passing < len(data):
            self.armed.count(self.pipe.link.number, shaped=shaped, dropped=len(data) - passing)
        for due, piece in pieces:
            self.push(max(due, self.last), piece, now)
        self.sleep()

    def end(self, how: End) -> None:
        """Handle the end of the stream, which comes from the sending side or from the previous toxic."""
        if self.over:
            return
        now = monotonic()
        due = self.shape.end(now)
        if due > now:
            self.armed.count(self.pipe.link.number, closed=1)
        self.push(max(due, self.last), how, now)
        self.sleep()

    def push(self, due: float, data: bytes | End, now: float) -> None:
        """Pass a chunk or end on if its time has come and the queue is empty; else append it to the queue."""
        self.last = due
        if due <= now and not self.queue:
            self.pipe.passed(self, data)
            return
        size = 0 if isinstance(data, str) else len(data)
        self.queue.append((due, data, size))
        self.held += size

    def sleep(self) -> None:
        """Set the timer for the next chunk; if the network fault's deadline has passed, end the connection now."""
        if self.timer:
            self.timer.cancel()
            self.timer = None
        if self.over:
            return
        due = min(self.shape.deadline, self.queue[0][0]) if self.queue else self.shape.deadline
        if self.shape.deadline <= monotonic():
            self.expire()
        elif due < inf:
            # The delay is rounded up to whole milliseconds, because uvloop's clock has no finer unit and would round to
            # the nearest.
            self.timer = self.loop.call_later(max(0, ceil((due - monotonic()) * 1000)) / 1000, self.wake)

    def wake(self) -> None:
        """Pass on all chunks and ends that are due; the timer calls this method."""
        self.timer, now = None, monotonic() + 1e-6
        while self.queue and self.queue[0][0] <= now and not self.over:
            _, data, size = self.queue.popleft()
            self.held -= size
            self.pipe.passed(self, data)
            if self.shape.apart:  # uvloop joins all writes of one iteration of the loop into one TCP segment
                break
        self.sleep()
        self.pipe.flow()

    def expire(self) -> None:
        """End the connection, because the network fault's deadline has passed."""
        self.armed.count(self.pipe.link.number, closed=1)
        if self.shape.hard:
            self.over = True
            self.pipe.link.reset("wire")
        else:
            self.pipe.passed(self, "close")


def _dropped(_data: bytes) -> None:
    """Drop the bytes, because the receiving side of the pipe is closed."""


class Pipe:
    """Passes bytes from `source` to `sink`, through the toxics in the order in which they were added."""

    def __init__(self, link: Link, stream: str, source: Side, sink: Side) -> None:
        self.link, self.stream, self.source, self.sink = link, stream, source, sink
        self.stages: list[Stage] = []
        self.full = False  # The buffer of the receiving side is full.
        self.ended = False  # The sending side sends no more bytes.
        self.finished = False  # No more bytes go to the receiving side.
        self.send: Callable[[bytes], object] = _dropped  # A passage calls this function with bytes that may pass.

    def route(self) -> None:
        """Choose where the sender's chunks go: directly to the receiver, to the code that parses Redis requests (a
        passage), or to the first toxic."""
        link = self.link
        out = self._staged if self.stages else self.sink.transport.write
        self.send = _dropped if self.finished or link.over or self.sink.gone else out
        take: Callable[[bytes], None] = self.receive
        if not (link.edge.observer or self.ended or self.finished or link.over):
            if link.passage:
                take = link.passage.from_client if self.stream == "upstream" else link.passage.from_server
            elif not self.stages:
                take = self.sink.transport.write
        self.source.data_received = take  # type: ignore[assignment, method-assign]  # on the instance: a call less for each chunk
        # `set_protocol` is called again because only there the transport looks up `data_received`
        self.source.transport.set_protocol(self.source)

    def _staged(self, data: bytes) -> None:
        """Send bytes that a passage (the code that parses Redis requests) lets pass through the toxics."""
        if not self.ended:
            self.stages[0].feed(data, monotonic())
            self.flow()

    def receive(self, data: bytes) -> None:
        """Show a chunk of the sending side to the observer, and pass the chunk to a passage, a toxic or the receiving
        side."""
        if self.ended or self.finished or self.link.over:
            return
        if observer := self.link.edge.observer:
            observer(self.link.number, self.stream, data)
        if self.link.passage:
            (self.link.passage.from_client if self.stream == "upstream" else self.link.passage.from_server)(data)
        elif self.stages:
            self.stages[0].feed(data, monotonic())
            self.flow()
        else:
            self.sink.transport.write(data)

    def finish(self, how: End) -> None:
        """Handle the end of the stream from the sending side."""
        if self.link.passage and self.link.passage.keeps_open(self.stream):
            return
        if not self.ended:
            self.ended = True
            if self.stages:
                self.stages[0].end(how)
            else:
                self.close(how)

    def passed(self, stage: Stage, data: bytes | End) -> None:
        """Send a chunk or end that one toxic (`stage`) lets pass to the next toxic, or after the last toxic to the
        receiving side."""
        here = self.stages.index(stage) + 1
        after = self.stages[here] if here < len(self.stages) else None
        if isinstance(data, str):
            stage.over = self.ended = True
            after.end(data) if after else self.close(data)
        elif after:
            after.feed(data, monotonic())
        elif not self.finished and not self.link.over:
            self.sink.transport.write(data)

    def close(self, how: End) -> None:
        """Pass the end of the stream on to the receiving side, after all bytes.

        A half-close (`eof`) closes only this direction of the connection. When a toxic ends the stream, both directions
        of the receiver's connection are closed, as in Toxiproxy; the end of the other direction then passes through its
        own toxics.
        """
        if self.finished:
            return
        self.finished = True
        self.route()
        if how == "reset":
            self.link.reset(self.source.name)
        elif how == "close" or self.source.gone or self.source.transport.is_closing():
            self.sink.transport.close()
        else:
            # ENOTCONN means that the receiving side was reset; connection_lost will be called soon
            with suppress(OSError):
                self.sink.transport.write_eof()
            self.link.settle()

    def flow(self) -> None:
        """Pause reading from the sending side while the receiving side or a toxic has no room; resume reading after
        that."""
        if self.ended or self.link.over:
            return
        if self.full or any(stage.held >= stage.shape.limit for stage in self.stages):
            self.source.transport.pause_reading()
        else:
            self.source.transport.resume_reading()
