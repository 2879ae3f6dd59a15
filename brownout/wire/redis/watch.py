"""A watch waits for a point on the wire; a hit tells its owner that the point was reached."""

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
    """A hit: a request has reached the point of a watch, and the wire keeps the request or its answer at the point.

    `request` is the request, also at the moment "after"; None for a message that answers no request.
    """

    point: Point
    moment: Moment
    passage: Passage
    request: Request | None

    @property
    def stream(self) -> str:
        """The stream on which the request or answer is kept."""
        return "upstream" if self.moment == "before" else "downstream"

    def let(self) -> None:
        """Let the request or answer pass, if its connection is still open."""
        if not self.passage.link.over:
            self.passage.let(self.stream)

    def __str__(self) -> str:
        what = "the request" if self.moment == "before" else "the reply to"
        return f"{what} {self.point.label} on {self.point.edge}"


@dataclass(eq=False)
class Watch:
    """Waits for a place on the wire. Use a Watch only on the thread of the wire's event loop.

    `reached` is called once, with the hit; it returns whether the wire goes on keeping the request or answer. A watch
    counts matching points at any time, but its place is reached only while `ready()` is true. With `strikes` a fault
    strikes at the place; other watches do not change what the conductor does.
    """

    place: Place
    reached: Callable[[Hit], bool]
    ready: Callable[[], bool] = lambda: True
    strikes: bool = True
    count: int = 0
    _reply_to: Request | None = None

    def met(self, point: Point, moment: Moment, request: Request | None) -> bool:
        """Count a matching point; return whether the place is reached.

        The nth reply is the reply to the nth request. A message that answers no request is counted when it
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
