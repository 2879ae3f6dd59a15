"""The layout of an application's messages in Redis: the keys that kombu derives from the configuration.

The names of keys follow the rules in kombu/transport/redis.py. Each queue has a list in Redis, and another list for
each priority step that is not 0; the name of that list is the queue's name, a separator and the step. A hash and a
sorted set hold messages that were delivered and not acknowledged. All keys may begin with a prefix that the application
sets. A process of the application reports its keys (probes/layout.py).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

UNACKED = "unacked"  # the place of a message that was delivered and not acknowledged


class Unreadable(ValueError):
    """The Redis keys of the application's messages are not known; the error's text says why."""


@dataclass(frozen=True)
class Entry:
    """One entry of a Redis list of messages, or of the hash of unacknowledged messages."""

    place: str  # The name of the message's queue, or UNACKED.
    task: str | None  # The task's id, or None for an entry that is not a task's message.
    message: Any  # The message as kombu wraps it (JSON).


@dataclass(frozen=True)
class Layout:
    """The Redis keys that one application uses; the defaults are those of kombu.

    `queues` has the names of the queues that the application's workers read. The Redis key of a task's result is the
    text `results` followed by the task's id. The broker is in the Redis database with the number `database`, the result
    backend in `backend`; `backend` is None when the result backend is not in Redis.
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
    def of(cls, described: Mapping[str, Any] | None) -> Layout:
        """Make a layout from the report of the application (`probes.layout.describe`).

        Raises Unreadable when the application reported nothing or an error; the exception has the reason.
        """
        if not described:
            raise Unreadable("no process of the application has reported the Redis keys of its messages")
        if reason := described.get("unreadable"):
            raise Unreadable(f"the Redis keys of the application's messages are not known: {reason}")
        lists = {name: tuple(value) for name, value in described.items() if isinstance(value, list)}
        return cls(**{**described, **lists})

    @property
    def unacked_keys(self) -> tuple[str, str]:
        """The keys of the hash of unacknowledged messages and of its index."""
        return self.prefix + self.unacked, self.prefix + self.unacked_index

    @cached_property
    def own(self) -> Mapping[str, str]:
        """The lists, for all priorities, of the queues that a worker reads: a mapping from the list's key to the
        queue's name."""
        return {self.key(queue, step): queue for queue in self.queues for step in self.steps or (0,)}

    def key(self, queue: str, step: int = 0) -> str:
        """Return the key of the list for a queue and a priority step."""
        return f"{self.prefix}{queue}{self.separator}{step}" if step else f"{self.prefix}{queue}"

    def lists(self, keys: Iterable[str | bytes]) -> dict[str, str]:
        """Return the application's own lists (`own`) and those of `keys` that are lists in the broker: a mapping from
        the list's key to the queue's name."""
        names = sorted({key.decode("utf-8", "surrogateescape") if isinstance(key, bytes) else key for key in keys})
        return {**self.own, **{key: self._queue(key) for key in names if key not in self.own}}

    def _queue(self, key: str) -> str:
        if not key.startswith(self.prefix):
            return f"{key} (without the prefix {self.prefix})"
        return self._bare(key.removeprefix(self.prefix))

    def _bare(self, name: str) -> str:
        """Return a list's name without the suffix for its priority."""
        ends = (f"{self.separator}{step}" for step in self.steps if step and self.separator)
        return next((name.removesuffix(end) for end in ends if name.endswith(end) and name != end), name)

    def located(self, lists: Mapping[str, str], entries: Iterable[Any], unacked: Iterable[Any]) -> Iterator[Entry]:
        """Yield the entries of `lists` and the unacknowledged messages. `entries` has one sequence of entries for each
        Redis list.

        From a list that belongs to no queue of `queues`, only messages of tasks are yielded: applications use
        lists for other things, and remote control and the RPC result backend put their answers into lists.
        """
        for (key, queue), raws in zip(lists.items(), entries, strict=True):
            for raw in raws:
                message = _loaded(raw)
                task = task_id(message, strict=key not in self.own)
                if task is not None or key in self.own:
                    yield Entry(queue, task, message)
        for raw in unacked:  # kombu stores an unacknowledged message as [message, exchange, routing key]
            delivery = _loaded(raw)
            message = delivery[0] if isinstance(delivery, list) and delivery else delivery
            yield Entry(UNACKED, task_id(message), message)

    @cached_property
    def plain(self) -> Callable[[bytes], bytes] | None:
        """Return a function that turns a key into the key which kombu would use with its default settings, without the
        suffix for the priority.

        The name of a point (a Redis request or its reply) contains this converted key, so the name does not depend on
        the application's settings. `plain`, a function that converts keys, is None for an application with the default
        settings.
        """
        stock, names = Layout(), ("prefix", "separator", "steps", "unacked", "unacked_index", "unacked_mutex")
        if all(getattr(self, name) == getattr(stock, name) for name in names):
            return None
        special = {getattr(self, name): getattr(stock, name) for name in names[3:]}

        @lru_cache(maxsize=4096)
        def plain(key: bytes) -> bytes:
            name = key.decode("utf-8", "surrogateescape").removeprefix(self.prefix)
            default: str = special.get(name, self._bare(name))
            return default.encode("utf-8", "surrogateescape")

        return plain


def task_id(message: Any, *, strict: bool = False) -> str | None:
    """Return the task's id from a task's message, or None for any other value.

    In task protocol 1 the headers have no id, and kombu puts the id into the correlation id. A result message of
    Celery's RPC backend also has a correlation id. If `strict` is true, a message without an id in its headers counts
    as a task's message only if something else in the message shows this.
    """
    try:
        headers, properties = message["headers"], message["properties"]
        task = headers.get("id") or properties.get("correlation_id")
        if strict and not headers.get("id") and not _of_task(message):
            return None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return str(task) if task else None


def _of_task(message: Any) -> bool:
    """Whether a message without an id in its headers is a task's message.

    Only the body of the message names the task. A pickled or compressed message counts as a task's when its
    headers name the task, or when it has a `reply_to`: a task's message has one in both protocols, "" when no
    client waits (celery/app/amqp.py); a result of the RPC backend has none (backends/rpc.py).
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
