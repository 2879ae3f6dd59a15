"""What waits for a point of the wire, and what is handed over when the point is reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from brownout.plan.point import Moment, Place, Point
from brownout.wire.redis.conversation import Request
from brownout.wire.redis.passage import Passage


@dataclass(frozen=True)
class Message:
    """A task's message, wherever it lies."""

    id: str
    place: str  # a queue's name, or "unacked"
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Hit:
    """A point that something waits for was reached, and its message is kept.

    `request` is None for a message that answers none.
    """

    point: Point
    moment: Moment
    passage: Passage
    request: Request | None

    @property
    def stream(self) -> str:
        """The stream on which the message is kept."""
        return "upstream" if self.moment == "before" else "downstream"

    def let(self) -> None:
        """Let the message pass, if its connection still stands."""
        if not self.passage.link.over:
            self.passage.let(self.stream)

    def __str__(self) -> str:
        what = "the request" if self.moment == "before" else "the reply to"
        return f"{what} {self.point.label} on {self.point.edge}"


@dataclass(eq=False)
class Watch:
    """Waits for a place on the wire. On the wire's loop only.

    `reached` is called with the message that is kept, once; it answers whether the message stays kept. Points count at
    any time, but the place is reached only while it is `ready`. `strikes` says that a fault strikes there: other
    watches change nothing in what the conductor does.
    """

    place: Place
    reached: Callable[[Hit], bool]
    ready: Callable[[], bool] = lambda: True
    strikes: bool = True
    count: int = 0
    _reply_to: Request | None = None

    def met(self, point: Point, moment: Moment, request: Request | None) -> bool:
        """Count, and say whether this is the one.

        The nth reply is the reply to the nth request; a message that answers no request counts when it comes.
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
