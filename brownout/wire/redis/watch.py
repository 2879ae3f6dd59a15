"""A watch waits for a point (a Redis request or its reply); a hit tells the owner of the watch that the point was
reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from brownout.plan.point import Moment, Place, Point
from brownout.wire.redis.conversation import Request
from brownout.wire.redis.passage import Passage


@dataclass(frozen=True)
class Message:
    """A task's message in a queue or in the hash of unacknowledged messages."""

    id: str
    place: str  # the place of the message: a queue's name, or "unacked"
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Hit:
    """A hit: a request has reached the point for which a watch waits, and the network proxy keeps the request or its
    answer back.

    `request` is the request that the client sent, also when its answer is kept back (moment "after"), or None for a
    message that answers no request.
    """

    point: Point
    moment: Moment
    passage: Passage
    request: Request | None

    @property
    def stream(self) -> str:
        """The direction of the connection on which the request or answer is kept back."""
        return "upstream" if self.moment == "before" else "downstream"

    def let(self) -> None:
        """Let the request or answer that was kept back pass, if its connection is still open."""
        if not self.passage.link.over:
            self.passage.let(self.stream)

    def __str__(self) -> str:
        what = "the request" if self.moment == "before" else "the reply to"
        return f"{what} {self.point.label} on {self.point.edge}"


@dataclass(eq=False)
class Watch:
    """Waits until a Redis request, or its reply, reaches a place that a plan names. Use a Watch only on the thread of
    the network proxy's event loop.

    The function `reached` is called once, with the hit; it returns whether the request or answer is still kept back. A
    watch counts matching points at any time, but its place counts as reached only while `ready()` is true. If `strikes`
    is true, a fault strikes at the place; other watches do not change which requests pass.
    """

    place: Place
    reached: Callable[[Hit], bool]
    ready: Callable[[], bool] = lambda: True
    strikes: bool = True
    count: int = 0
    _reply_to: Request | None = None

    def met(self, point: Point, moment: Moment, request: Request | None) -> bool:
        """Count a point that matches; return whether the awaited place is reached.

        The nth reply means the reply to the nth request. A message that answers no request is counted when it
        arrives.
        """
        if not self.place.matches(point.edge, point.label):
            return False
        replies = self.place.moment == "after" and request is not None and not request.blocking
        if replies and moment == "after":
            return request is self._reply_to and self.ready()
        if moment != ("before" if replies else self.place.moment):
            return False
        self.count += 1
        if self.count == self.place.nth and replies:
            self._reply_to = request
        return self.count == self.place.nth and not replies and self.ready()
