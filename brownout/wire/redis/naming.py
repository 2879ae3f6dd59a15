"""What causes a request: a task, a timer, a new connection, or a wait for messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from brownout.wire.redis.conversation import BLOCKING

Kind = Literal["timer", "handshake", "idle", "plain"]

#: Requests that Celery and kombu send at intervals and not for a task: the sweep for unacked messages and its lock,
#: health checks, the expiry of bindings, and heartbeats (celery.events). A request for the length of a queue over all
#: priorities is also among them, because kombu sends it whenever it declares a queue, and ignores the answer.
CELERY_TIMERS = (
    r"SET unacked_mutex|ZRANGE unacked_index|ZREVRANGEBYSCORE unacked_index|EVALSHA|EVAL|SCRIPT EXISTS|SCRIPT LOAD"
    r"|LLEN (?P<queue>[^;]+)(?:;LLEN (?P=queue))+"
    r"|PING|(PUBLISH|PUSH) .*worker\.heartbeat"
)
#: Requests with which new connections begin.
HANDSHAKE = re.compile(
    r"HELLO .*|CLIENT .*|SELECT|AUTH|SCRIPT LOAD|.*_kombu\.binding\..*|.*celery\.pidbox.*|.*celeryev.*"
)


class Naming:
    """Classifies Redis requests by their labels, which are the command and the pattern of its key.

    `polls` has patterns for the labels of requests that the application sends periodically. `monitors` has the names of
    processes that connect to Redis periodically. If `timed` is False, no request is classified as "timer".
    """

    def __init__(self, polls: Iterable[str] = (), monitors: Iterable[str] = (), *, timed: bool = True) -> None:
        self.polls = re.compile("|".join(polls) or "(?!)")
        self.timers = re.compile(f"{CELERY_TIMERS}|{self.polls.pattern}" if timed else "(?!)")
        self.monitors = tuple(monitors)
        self.kind = lru_cache(maxsize=4096)(self._kind)

    def _kind(self, label: str) -> Kind:
        if self.timers.fullmatch(label):
            return "timer"
        if HANDSHAKE.fullmatch(label):
            return "handshake"
        return "idle" if label.partition(" ")[0] in BLOCKING else "plain"

    def monitored(self, edge: str) -> bool:
        """Whether this network edge begins at a process that connects periodically."""
        return edge.startswith(self.monitors)
