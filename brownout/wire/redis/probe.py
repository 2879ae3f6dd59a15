"""Finds the Redis requests and messages that a probe (a test task) causes, because they do not belong to the
operation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

from brownout.wire.redis.conversation import IDS, Request

# the delivery tag of a message that the trial puts into a queue on a direct connection
PUSHED = re.compile(f"probe-({IDS.pattern})")


class ProbeTrail:
    """Distinguishes requests of a probe (a test task) from requests of the operation, by the ids that they contain.

    The message of a probe (a test task) that the trial itself puts into the queue has a special delivery tag. If
    `through_api` is true, the probe is a request to the API. The probe's task is not in `own` (the tasks of the
    operation), and is first published after the time `begin`.
    """

    def __init__(self, own: Callable[[], Iterable[str]] = tuple, *, through_api: bool = False) -> None:
        self.sent = False  # whether a probe was sent; before the first probe no request belongs to a probe
        self.through_api = through_api
        self._own = own
        self._under_way = False
        self._ids: set[str] = set()  # Task ids and delivery tags of probes.
        self._known: set[str] = set()  # Tasks that were published before a probe.

    def begin(self, commands: Iterable[tuple[bytes, ...]]) -> None:
        """Remember that a client sends the probe task next. `commands` are the operation's Redis commands so far."""
        self.sent = self._under_way = True
        if self.through_api:
            self._known |= {message[0] for argv in commands if (message := published(argv))}

    def void(self) -> None:
        """Note that the running probe proves nothing any more; its later requests still count as a probe's."""
        self._under_way = False

    def causes(self, request: Request) -> bool:
        """Whether this request belongs to a probe (a test task)."""
        if self.through_api and (message := published(request.commands[0].argv)):
            task, tag = message
            if self._under_way and task not in self._known and task not in self._own():
                self._ids |= {task, tag}
            self._known.add(task)
        return self.made(request.raw)

    def made(self, raw: bytes) -> bool:
        """Whether the request or message with these bytes belongs to a probe (a test task)."""
        text = raw.decode("latin-1")
        # only task ids are compared, because a message also contains the id of its sender
        self._ids |= set(PUSHED.findall(text))
        return not self._ids.isdisjoint(IDS.findall(text))


def published(argv: tuple[bytes, ...]) -> tuple[str, str] | None:
    """Return task id and delivery tag of the message that a command puts into a queue, or None for other commands."""
    if argv[0].upper() != b"LPUSH" or len(argv) < 3 or b'"headers"' not in argv[2]:
        return None
    message = json.loads(argv[2])
    return str(message["headers"].get("id")), str(message["properties"].get("delivery_tag"))
