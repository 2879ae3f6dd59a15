"""One stream of one connection: what a side reads goes through the toxics' stages to the other side.

Without a toxic and without a tap, a chunk goes from the reading transport's callback straight into the other
transport's `write`: no code of ours runs. All of it lives on the wire's loop thread, so that arming is atomic.
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

End = Literal["eof", "close", "reset"]  # half-close, both ways, RST


class Stage:
    """A toxic at work in a pipe: keeps order, sleeps, counts."""

    def __init__(self, pipe: Pipe, armed: Armed) -> None:
        self.pipe, self.loop = pipe, pipe.link.edge.loop
        self.queue: deque[tuple[float, bytes | End, int]] = deque()
        self.held = 0  # bytes
        self.last = 0.0  # due time of what came last
        self.over = False  # it has ended the stream
        self.timer: asyncio.TimerHandle | None = None
        self.armed = armed

    def adopt(self, armed: Armed) -> None:
        """Act as `armed` says, from now on; its toxicity is drawn here."""
        self.armed = armed
        act = SHAPES[armed.toxic.type] if self.pipe.link.draw(armed) else Shape
        rng = self.pipe.link.rng(armed.toxic)
        values = {key: max(0, value) for key, value in armed.toxic.attributes.items()}
        self.shape = act(values, rng, monotonic(), armed.shared)
        self.sleep()

    def update(self, armed: Armed) -> None:
        """Go on with other attributes: held bytes go at once, as in Toxiproxy; a held end is timed anew."""
        ends = [data for _, data, _ in self.queue if isinstance(data, str)]
        old, self.last = self.shape, 0.0
        self.flush(ends=False)
        self.adopt(armed)
        self.shape.inherit(old)
        for how in ends:
            self.end(how)

    def leave(self) -> None:
        """The toxic is taken off."""
        kind = SHAPES[self.armed.toxic.type]
        if self.timer:
            self.timer.cancel()
        if self.over:
            return
        if kind.leaving == "reset" and isinstance(self.shape, kind):
            self.pipe.link.reset("wire")
        elif kind.leaving == "close":  # whatever its toxicity: ToxicLink.RemoveToxic
            self.pipe.passed(self, "close")
        else:
            self.flush()

    def flush(self, *, ends: bool = True) -> None:
        """Let go of everything at once."""
        queue, self.queue, self.held = self.queue, deque(), 0
        for _, data, _ in queue:
            if ends or not isinstance(data, str):
                self.pipe.passed(self, data)

    def feed(self, data: bytes, at: float) -> None:
        """A chunk comes to this stage's door."""
        if self.over:
            return
        now = monotonic()
        pieces = self.shape.feed(data, now, at)
        kept = sum(len(piece) for _, piece in pieces)
        shaped = kept if len(pieces) > 1 or (pieces and pieces[-1][0] > now) else 0
        if shaped or kept < len(data):
            self.armed.count(self.pipe.link.number, shaped=shaped, dropped=len(data) - kept)
        for due, piece in pieces:
            self.push(max(due, self.last), piece, now)
        self.sleep()

    def end(self, how: End) -> None:
        """What comes before it has ended."""
        if self.over:
            return
        now = monotonic()
        due = self.shape.end(now)
        if due > now:
            self.armed.count(self.pipe.link.number, closed=1)
        self.push(max(due, self.last), how, now)
        self.sleep()

    def push(self, due: float, data: bytes | End, now: float) -> None:
        """Pass it on if it is due and nothing is before it, else keep it."""
        self.last = due
        if due <= now and not self.queue:
            self.pipe.passed(self, data)
            return
        size = 0 if isinstance(data, str) else len(data)
        self.queue.append((due, data, size))
        self.held += size

    def sleep(self) -> None:
        """Set the timer for what is due next; act on a deadline that is already there."""
        if self.timer:
            self.timer.cancel()
            self.timer = None
        if self.over:
            return
        due = min(self.shape.deadline, self.queue[0][0]) if self.queue else self.shape.deadline
        if self.shape.deadline <= monotonic():
            self.expire()
        elif due < inf:
            # Whole milliseconds, up: uvloop rounds to the nearest, and its clock has no finer ones.
            self.timer = self.loop.call_later(max(0, ceil((due - monotonic()) * 1000)) / 1000, self.wake)

    def wake(self) -> None:
        """Something is due."""
        self.timer, now = None, monotonic() + 1e-6
        while self.queue and self.queue[0][0] <= now and not self.over:
            _, data, size = self.queue.popleft()
            self.held -= size
            self.pipe.passed(self, data)
            if self.shape.apart:  # uvloop puts what is written in one turn of the loop into one segment
                break
        self.sleep()
        self.pipe.flow()

    def expire(self) -> None:
        """The toxic ends the connection."""
        self.armed.count(self.pipe.link.number, closed=1)
        if self.shape.hard:
            self.over = True
            self.pipe.link.reset("wire")
        else:
            self.pipe.passed(self, "close")


def _dropped(_data: bytes) -> None:
    """Its sink takes nothing any more."""


class Pipe:
    """From `source` to `sink`, through the stages in the order in which their toxics were added."""

    def __init__(self, link: Link, stream: str, source: Side, sink: Side) -> None:
        self.link, self.stream, self.source, self.sink = link, stream, source, sink
        self.stages: list[Stage] = []
        self.full = False  # the sink's buffer is
        self.ended = False  # nothing comes any more
        self.finished = False  # and nothing goes out any more
        self.send: Callable[[bytes], object] = _dropped  # what a passage lets through goes out, if anything still may

    def route(self) -> None:
        """Choose the way of the bytes: straight into the sink, or through stages and tap."""
        link = self.link
        out = self._staged if self.stages else self.sink.transport.write
        self.send = _dropped if self.finished or link.over or self.sink.gone else out
        way: Callable[[bytes], None] = self.receive
        if not (link.edge.observer or self.ended or self.finished or link.over):
            if link.passage:
                way = link.passage.asked if self.stream == "upstream" else link.passage.said
            elif not self.stages:
                way = self.sink.transport.write
        self.source.data_received = way  # type: ignore[assignment, method-assign]  # on the instance: a call less for each chunk
        self.source.transport.set_protocol(self.source)  # which looks it up

    def _staged(self, data: bytes) -> None:
        """What a passage lets through meets the toxics."""
        if not self.ended:
            self.stages[0].feed(data, monotonic())
            self.flow()

    def receive(self, data: bytes) -> None:
        """The slow way of a chunk."""
        if self.ended or self.finished or self.link.over:
            return
        if observer := self.link.edge.observer:
            observer(self.link.number, self.stream, data)
        if self.link.passage:
            (self.link.passage.asked if self.stream == "upstream" else self.link.passage.said)(data)
        elif self.stages:
            self.stages[0].feed(data, monotonic())
            self.flow()
        else:
            self.sink.transport.write(data)

    def finish(self, how: End) -> None:
        """The source has ended."""
        if self.link.passage and self.link.passage.keeps_open(self.stream):
            return
        if not self.ended:
            self.ended = True
            if self.stages:
                self.stages[0].end(how)
            else:
                self.close(how)

    def passed(self, stage: Stage, data: bytes | End) -> None:
        """What a stage lets through goes to the next one, or out."""
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
        """Everything that will go out has gone: pass the end on to the sink.

        A half-close stays one, until both streams have ended. An end made by a toxic closes the sink both ways,
        as Toxiproxy does; the other stream then ends through its own toxics.
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
            with suppress(OSError):  # ENOTCONN: the sink has been reset, and its protocol is about to hear so
                self.sink.transport.write_eof()
            self.link.settle()

    def flow(self) -> None:
        """Make the source wait while the sink is full or a stage holds what it may; let it go on after that."""
        if self.ended or self.link.over:
            return
        if self.full or any(stage.held >= stage.shape.limit for stage in self.stages):
            self.source.transport.pause_reading()
        else:
            self.source.transport.resume_reading()
