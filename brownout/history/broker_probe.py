"""What lies in Redis now, read on a connection of its own that no fault touches."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from redis.exceptions import ResponseError

from brownout.history.event import Event
from brownout.history.layout import UNACKED, Layout
from brownout.probes.line import now

#: More ids than this are counted but not listed, to keep a line small.
LISTED = 500
SOURCE = "broker"


def looked(redis: Any, layout: Layout, *, clients: bool = True) -> Event:
    """One `sample`, or `sample-failed` when the broker does not answer.

    `redis` is a `redis.Redis` (bytes or text) in the broker's database. In the event's data `queues` holds lengths by
    queue with all its priorities, those of the layout and every other list that has a task's message in it; `unacked`
    and `unacked_index` are sizes, and `by_task` says where each task's message is: the queue's name or "unacked".
    Unless `clients` is False, `clients` is the number of connections, and `commands` says how many of them last sent
    which command ("brpop": a consumer). All lists are read in one transaction with the hash, so no message is seen
    twice. One that moves into a list that is new and that no worker reads may be missed once, never twice in a row.
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
        for key, found in zip((*lists, hash_, index_), (*entries, unacked, index), strict=True):
            if isinstance(found, ResponseError) and (key in layout.own or key in layout.unacked_keys):
                raise found
        # A list of somebody else's may have become another type meanwhile.
        located = list(layout.located(lists, ([] if isinstance(e, ResponseError) else e for e in entries), unacked))
        connections = redis.client_list() if clients else []
    except Exception as error:
        return failed(f"{type(error).__name__}: {error}"[:300])
    lengths = Counter(dict.fromkeys(layout.queues, 0))
    lengths.update(each.place for each in located if each.place != UNACKED)
    data: dict[str, Any] = {
        "queues": dict(lengths),
        "unacked": sum(each.place == UNACKED for each in located),
        "unacked_index": index,
    }
    if clients:
        data["clients"] = len(connections)
        data["commands"] = dict(Counter(str(connection.get("cmd")) for connection in connections))
    by_task = {each.task: each.place for each in located if each.task}
    if len(by_task) <= LISTED:
        data["by_task"] = by_task
    return Event(now(), SOURCE, "sample", pid=os.getpid(), data=data)


def failed(error: str) -> Event:
    """Nobody could look into the broker."""
    return Event(now(), SOURCE, "sample-failed", pid=os.getpid(), data={"error": error})
