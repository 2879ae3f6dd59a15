"""Which requests and messages on the wire a probe makes: they are no part of the operation's life."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

from brownout.wire.redis.conversation import IDS, Request

PUSHED = re.compile(f"probe-({IDS.pattern})")  # the delivery tag of a message that is queued past the network


class ProbeTrail:
    """Tells what a probe makes from what the operation makes, by the ids in it.

    A probe that is queued past the network says so in its delivery tag. With `through_api` a probe is a task that
    nobody had published before the probe was sent, and that is not one of the operation's `own` tasks.
    """

    def __init__(self, own: Callable[[], Iterable[str]] = tuple, *, through_api: bool = False) -> None:
        self.sent = False  # there was a probe: until then no request is one's
        self.through_api = through_api
        self._own = own
        self._under_way = False
        self._ids: set[str] = set()  # of probes: task ids and delivery tags
        self._known: set[str] = set()  # tasks that were published before a probe

    def begin(self, commands: Iterable[tuple[bytes, ...]]) -> None:
        """A probe is about to be sent, after all these commands of the operation."""
        self.sent = self._under_way = True
        if self.through_api:
            self._known |= {message[0] for argv in commands if (message := published(argv))}

    def void(self) -> None:
        """The probe that is under way proves nothing any more; what it still makes remains a probe's."""
        self._under_way = False

    def asked(self, request: Request) -> bool:
        """Whether a probe makes this request."""
        if self.through_api and (message := published(request.commands[0].argv)):
            task, tag = message
            if self._under_way and task not in self._known and task not in self._own():
                self._ids |= {task, tag}
            self._known.add(task)
        return self.made(request.raw)

    def made(self, raw: bytes) -> bool:
        """Whether a probe makes what has these bytes."""
        text = raw.decode("latin-1")
        self._ids |= set(PUSHED.findall(text))  # no other id: a message names the process it came from, too
        return not self._ids.isdisjoint(IDS.findall(text))


def published(argv: tuple[bytes, ...]) -> tuple[str, str] | None:
    """The id and the delivery tag of the task's message that a command queues; None when it queues none."""
    if argv[0].upper() != b"LPUSH" or len(argv) < 3 or b'"headers"' not in argv[2]:
        return None
    message = json.loads(argv[2])
    return str(message["headers"].get("id")), str(message["properties"].get("delivery_tag"))
