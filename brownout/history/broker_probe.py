"""Samples of the broker: which messages Redis holds now, read on a connection that no fault touches."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from redis.exceptions import ResponseError

from brownout.history.event import Event
from brownout.history.layout import UNACKED, Layout
from brownout.probes.line import now

# when a sample has more tasks than this, its field `by_task` is left out, so that the event's line stays short
LISTED = 500
SOURCE = "broker"


def looked(redis: Any, layout: Layout, *, clients: bool = True) -> Event:
    """Return a `sample` event, or `sample-failed` when the broker cannot be read.

    `redis` is a client of the type `redis.Redis` for the broker's database; it may return bytes or text. In the event's
    data, `queues` has the length of each queue over all its priorities: the queues of the layout, and every other list
    that contains a task's message. `unacked` and `unacked_index` are the numbers of entries of the two Redis keys that
    have these names by default. `by_task` maps each task to the place of its message: the name of a queue, or
    "unacked". Unless `clients` is False, `clients` is the number of connections, and `commands` counts connections by
    the last command that they sent ("brpop": a consumer). All lists and the hash are read in one transaction, so no
    message is counted twice. One sample may miss a message that moves into a new list that no worker reads; two samples
    in a row do not miss it.
    """
    try:
        lists = layout.lists(redis.scan_iter(count=1_000, _type="list"))
        hash_, index_ = layout.unacked_keys
        with redis.pipeline(transaction=True) as pipe:
            for key in lists:
                pipe.lrange(key.encode("utf-8", "surrogateescape"), 0, -1)
            pipe.hvals(hash_)
            pipe.zcard(index_)
            *entries, unacked, index = pipe.execute(raise_on_error=False)
        for key, reply in zip((*lists, hash_, index_), (*entries, unacked, index), strict=True):
            if isinstance(reply, ResponseError) and (key in layout.own or key in layout.unacked_keys):
                raise reply
        # For a key outside the layout, an error only means that the type of the key has changed since the scan.
        located = list(layout.located(lists, ([] if isinstance(e, ResponseError) else e for e in entries), unacked))
        connections = redis.client_list() if clients else []
    except Exception as error:
        return failed(f"{type(error).__name__}: {error}"[:300])
    lengths = Counter(dict.fromkeys(layout.queues, 0))
    lengths.update(entry.place for entry in located if entry.place != UNACKED)
    data: dict[str, Any] = {
        "queues": dict(lengths),
        "unacked": sum(entry.place == UNACKED for entry in located),
        "unacked_index": index,
    }
    if clients:
        data["clients"] = len(connections)
        data["commands"] = dict(Counter(str(connection.get("cmd")) for connection in connections))
    by_task = {entry.task: entry.place for entry in located if entry.task}
    if len(by_task) <= LISTED:
        data["by_task"] = by_task
    return Event(now(), SOURCE, "sample", pid=os.getpid(), data=data)


def failed(error: str) -> Event:
    """Return the `sample-failed` event: the broker could not be read, because of `error`."""
    return Event(now(), SOURCE, "sample-failed", pid=os.getpid(), data={"error": error})
