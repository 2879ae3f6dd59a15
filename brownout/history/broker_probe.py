"""What lies in Redis now, read on a connection of its own that no fault touches.

The layout is kombu's (kombu/transport/redis.py): a list for each queue and, behind the separator `\\x06\\x16`, one for
each priority step above 0; the hash `unacked` and the sorted set `unacked_index` for what was delivered and not acked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from brownout.history.event import Event
from brownout.history.recorder import Recorder

SEPARATOR = "\x06\x16"
PRIORITY_STEPS = (0, 3, 6, 9)
#: More ids than this are counted but not listed, to keep a line small.
LISTED = 500


def probe(
    redis: Any, recorder: Recorder, queues: Iterable[str] = ("celery",), *, steps: Iterable[int] = PRIORITY_STEPS
) -> Event:
    """Record one `sample`, or `sample-failed` when the broker does not answer, and return it.

    `redis` is a `redis.Redis` (bytes or text). In the event's data `queues` holds lengths by queue with all its
    priorities, `unacked` and `unacked_index` sizes, `clients` the number of connections, `commands` how many of
    them last sent which command ("brpop": a consumer), and `by_task` where each task's message is: the queue's
    name or "unacked". A list is read in one transaction with the hash, so no message is seen twice or not at all.
    """
    steps, queues = tuple(steps), tuple(queues)
    names = [(queue, f"{queue}{SEPARATOR}{step}" if step else queue) for queue in queues for step in steps]
    try:
        with redis.pipeline(transaction=True) as pipe:
            for _, name in names:
                pipe.lrange(name, 0, -1)
            pipe.hvals("unacked")
            pipe.zcard("unacked_index")
            *lists, unacked, index = pipe.execute()
        clients = redis.client_list()
    except Exception as error:
        return recorder.record("sample-failed", error=f"{type(error).__name__}: {error}"[:300])
    lengths: Counter[str] = Counter(dict.fromkeys(queues, 0))
    by_task: dict[str, str] = {}
    for (queue, _), messages in zip(names, lists, strict=True):
        lengths[queue] += len(messages)
        by_task |= dict.fromkeys(filter(None, map(_task_id, messages)), queue)
    by_task |= dict.fromkeys(filter(None, map(_task_id, unacked)), "unacked")
    data: dict[str, Any] = {
        "queues": dict(lengths),
        "unacked": len(unacked),
        "unacked_index": index,
        "clients": len(clients),
        "commands": dict(Counter(str(client.get("cmd")) for client in clients)),
    }
    if len(by_task) <= LISTED:
        data["by_task"] = by_task
    return recorder.record("sample", **data)


def _task_id(raw: bytes | str) -> str | None:
    """The task id of a message, or of an entry of `unacked`, which is [message, exchange, routing key]."""
    try:
        message = json.loads(raw)
        headers = (message[0] if isinstance(message, list) else message)["headers"]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    task = headers.get("id")
    return str(task) if task else None
