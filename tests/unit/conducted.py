"""Passages that only keep count, for a conductor on paper."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial, wraps
from types import SimpleNamespace
from typing import Any, cast

from brownout.plan.point import IDLE, Moment, Place, Point
from brownout.subject.waiting import NeverHappened
from brownout.wire.redis.conductor import Conductor
from brownout.wire.redis.conversation import Answer, Conversation, Request
from brownout.wire.redis.naming import Naming
from brownout.wire.redis.passage import Passage
from brownout.wire.redis.resp import encode
from brownout.wire.redis.watch import Hit, Watch

BRPOP, POPPED, NIL = "BRPOP celery celery\x06\x163 1", encode("celery", "m"), b"_\r\n"
POLLING = Naming(["LLEN .*"], ["api"])  # of an application with a watchdog and a monitor
OK, ONE = b"+OK\r\n", b":1\r\n"
ID = "0b5ee9b1-7c4c-4d2b-9f0e-2f8a2f3a9a11"
PUBLISH = Point("client->broker", "LPUSH celery")
GET = Point("client->backend", "GET meta")
DELIVER = Point("worker->broker", "BRPOP celery")
ZADD = Point("worker->broker", "ZADD unacked_index")
STORE = Point("worker->backend", "SET meta")


@dataclass(eq=False)
class Line:
    """Stands for a passage: what would pass it is in `passed`; what is kept is let go by the conductor."""

    conductor: Conductor
    edge: str
    passed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.link = SimpleNamespace(over=False)
        self._talk = Conversation()
        self._kept: dict[str, str] = {}

    @property
    def passage(self) -> Passage:
        return cast("Passage", self)  # what a conductor uses of one is here

    def ask(self, *commands: str) -> Request:
        (request,) = self._talk.requests(b"".join(encode(*command.split()) for command in commands))
        self._talk.sent(request)
        self._go("upstream", request.label, self.conductor.request(self.passage, request))
        return request

    def tell(self, reply: bytes) -> None:
        for answer in self._talk.answers(reply):
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        self._go("downstream", f"{answer.label} answered", self.conductor.answer(self.passage, answer))

    def _go(self, stream: str, what: str, may: bool) -> None:
        if may:
            self.passed.append(what)
        else:
            self._kept[stream] = what

    def both(self, command: str, reply: bytes = ONE) -> None:
        self.ask(command)
        self.tell(reply)

    def refuse(self, reply: bytes) -> None:
        self._kept.pop("upstream")
        request = self._talk.pending[-1]
        request.canned = reply
        for answer in self._talk.canned_answers():
            self._answer(answer)

    def let(self, stream: str) -> None:
        self.passed.append(self._kept.pop(stream))

    def cut(self) -> None:
        if not self.link.over:
            self.link.over = True
            self.conductor.ended(self.passage)


class Struck(list[Hit]):
    """A strike that keeps the message it hits."""

    def __call__(self, hit: Hit) -> bool:
        self.append(hit)
        return True

    def several(self, count: int) -> bool:
        """Whether so many were hit."""
        return len(self) >= count


def armed(*places: Place, **more: Any) -> tuple[Conductor, Struck]:
    """A conductor that strikes at these places, one after the other."""
    struck = Struck()
    conductor = Conductor(**more)
    conductor.arm()
    for n, place in enumerate(places):
        conductor.watch(Watch(place, struck, partial(struck.several, n)))
    return conductor, struck


def at(point: Point, moment: Moment = "before") -> Place:
    """The place of a point."""
    return Place(point.edge, point.label.removesuffix(IDLE), point.ordinal, moment)


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(cast("Any", test(*args, **kwargs)))

    return run


async def turn() -> None:
    """What was to be called soon is called."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise NeverHappened(f"still not true after 2 s: {condition}")
