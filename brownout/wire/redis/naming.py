"""What is behind a request: a task, a clock, a new connection, or a wait for messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from brownout.wire.redis.conversation import BLOCKING

Kind = Literal["timer", "handshake", "idle", "plain"]

#: What Celery and kombu send by a clock and not for a task: the sweep for unacked messages and its lock, health checks,
#: the expiry of bindings, and heartbeats (celery.events). With them how long a queue is, over all its priorities: kombu
#: asks so whenever it declares one, and does nothing with the answer.
CELERY_TIMERS = (
    r"SET unacked_mutex|ZRANGE unacked_index|ZREVRANGEBYSCORE unacked_index|EVALSHA|EVAL|SCRIPT EXISTS|SCRIPT LOAD"
    r"|LLEN (?P<queue>[^;]+)(?:;LLEN (?P=queue))+"
    r"|PING|(PUBLISH|PUSH) .*worker\.heartbeat"
)
#: What every new connection begins with.
HANDSHAKE = re.compile(
    r"HELLO .*|CLIENT .*|SELECT|AUTH|SCRIPT LOAD|.*_kombu\.binding\..*|.*celery\.pidbox.*|.*celeryev.*"
)


class Naming:
    """Tells requests apart by their labels.

    `polls` are patterns of the labels that the application itself sends by a clock, `monitors` the processes that
    connect by a clock; with `timed=False` no request counts as one that a clock sent.
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
        """Whether a clock may have asked for a new connection on this edge."""
        return edge.startswith(self.monitors)
