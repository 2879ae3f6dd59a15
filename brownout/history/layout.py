"""Where an application's messages lie in Redis: the keys that kombu makes of its configuration.

kombu/transport/redis.py is the source: a list for each queue and, behind a separator, one more for each priority step
that is not 0; a hash and a sorted set for what was delivered and not acknowledged; a prefix before all of them.
The application tells it from one of its own processes (probes/layout.py).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

#: The place of a message that was delivered and not acknowledged.
UNACKED = "unacked"


class Unreadable(ValueError):
    """Nobody knows where the application's messages lie; the message says why."""


@dataclass(frozen=True)
class Found:
    """One entry of a list, or of the hash of what is unacknowledged."""

    place: str  # the queue's name, or UNACKED
    task: str | None  # the id of the task, None for what is no task's message
    message: Any  # kombu's envelope


@dataclass(frozen=True)
class Layout:
    """The keys of one application; the defaults are kombu's.

    `queues` are those that a worker reads, `results` is what stands before a task's id in the result backend,
    `database` the number of the broker's, `backend` that of the result backend, None where it is no Redis database.
    """

    prefix: str = ""
    separator: str = "\x06\x16"
    steps: tuple[int, ...] = (0, 3, 6, 9)
    unacked: str = "unacked"
    unacked_index: str = "unacked_index"
    unacked_mutex: str = "unacked_mutex"
    queues: tuple[str, ...] = ("celery",)
    results: str = "celery-task-meta-"
    database: int = 0
    backend: int | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any] | None) -> Layout:
        """From what the application told (`probes.layout.describe`). Raises Unreadable with the reason that it gave."""
        if not told:
            raise Unreadable("no process of the application has told where its messages lie")
        if reason := told.get("unreadable"):
            raise Unreadable(f"where the application's messages lie is not known: {reason}")
        lists = {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
        return cls(**{**told, **lists})

    @property
    def unacked_keys(self) -> tuple[str, str]:
        """The hash of what is unacknowledged, and its index."""
        return self.prefix + self.unacked, self.prefix + self.unacked_index

    @cached_property
    def own(self) -> Mapping[str, str]:
        """The lists of the queues that a worker reads: key and name of the queue, all priorities of each."""
        return {self.key(queue, step): queue for queue in self.queues for step in self.steps or (0,)}

    def key(self, queue: str, step: int = 0) -> str:
        """The list of a queue and priority step."""
        return f"{self.prefix}{queue}{self.separator}{step}" if step else f"{self.prefix}{queue}"

    def lists(self, found: Iterable[str | bytes]) -> dict[str, str]:
        """The `own` lists and those that were `found` in the broker, each with the name of its queue."""
        other = sorted({key.decode("utf-8", "surrogateescape") if isinstance(key, bytes) else key for key in found})
        return {**self.own, **{key: self._queue(key) for key in other if key not in self.own}}

    def _queue(self, key: str) -> str:
        if not key.startswith(self.prefix):
            return f"{key} (without the prefix {self.prefix})"
        return self._bare(key.removeprefix(self.prefix))

    def _bare(self, name: str) -> str:
        """A list's name without its priority."""
        ends = (f"{self.separator}{step}" for step in self.steps if step and self.separator)
        return next((name.removesuffix(end) for end in ends if name.endswith(end) and name != end), name)

    def located(self, lists: Mapping[str, str], entries: Iterable[Any], unacked: Iterable[Any]) -> Iterator[Found]:
        """Everything that lies in these lists, whose entries come in their order, and what is unacknowledged.

        Of a list that no queue of `queues` owns only messages of tasks are told: applications have lists of their own,
        and remote control and the RPC result backend leave their answers in lists.
        """
        for (key, queue), raws in zip(lists.items(), entries, strict=True):
            for raw in raws:
                message = _loaded(raw)
                task = task_id(message, strict=key not in self.own)
                if task is not None or key in self.own:
                    yield Found(queue, task, message)
        for raw in unacked:  # [message, exchange, routing key]
            whole = _loaded(raw)
            message = whole[0] if isinstance(whole, list) and whole else whole
            yield Found(UNACKED, task_id(message), message)

    @cached_property
    def plain(self) -> Callable[[bytes], bytes] | None:
        """Makes a key what it would be with kombu's defaults and without its priority; None for a layout that has them.

        So a point on the wire has the same name whatever the application's settings are.
        """
        stock, names = Layout(), ("prefix", "separator", "steps", "unacked", "unacked_index", "unacked_mutex")
        if all(getattr(self, name) == getattr(stock, name) for name in names):
            return None
        special = {getattr(self, name): getattr(stock, name) for name in names[3:]}

        @lru_cache(maxsize=4096)
        def plain(key: bytes) -> bytes:
            name = key.decode("utf-8", "surrogateescape").removeprefix(self.prefix)
            found: str = special.get(name, self._bare(name))
            return found.encode("utf-8", "surrogateescape")

        return plain


def task_id(message: Any, *, strict: bool = False) -> str | None:
    """The id of the task whose message this is; None for another message, and for what is none.

    Task protocol 1 has no id in its headers. kombu notes it as the correlation id, which a result of the RPC backend
    bears as well; with `strict` the message must be a task's by more than that.
    """
    try:
        headers, properties = message["headers"], message["properties"]
        found = headers.get("id") or properties.get("correlation_id")
        if strict and not headers.get("id") and not _of_task(message):
            return None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return str(found) if found else None


def _of_task(message: Any) -> bool:
    """Whether a message without an id in its headers is a task's.

    Its body names the task. Of one that is pickled or compressed the headers do, or `reply_to` is there, "" when nobody
    waits: a task has it in either protocol (celery/app/amqp.py), a result of the RPC backend never (backends/rpc.py).
    """
    try:
        return "task" in json.loads(base64.b64decode(message["body"]))
    except ValueError:
        return "task" in message["headers"] or "reply_to" in message["properties"]


def _loaded(raw: Any) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
