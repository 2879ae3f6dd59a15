"""Looks into the broker's queues. To kombu a queue is a Redis list, to which messages are pushed at the left, and from
which they are popped at the right. Each message says when it was published."""

import json
import math
from contextlib import suppress
from typing import Any, cast

from celery.signals import before_task_publish
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from system.job import now
from system.settings import Settings

PUBLISHED_AT = "published_at"  # the header of a message that says when it was published, in s since the epoch

LOOK = 10  # messages at the head of a queue that are read


@before_task_publish.connect
def stamp(headers: dict[str, Any], **_: Any) -> None:
    """Say in each message of this process when it is published, also in those of beat."""
    headers.setdefault(PUBLISHED_AT, now())


def client_of(settings: Settings) -> Redis:
    """A client that gives up in time."""
    timeout = settings.broker_timeout
    return Redis.from_url(
        str(settings.broker_url), socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
    )


def oldest(client: Redis, queue: str) -> float | None:
    """When the message that is popped next was published, or the first message after it that says so: the messages
    of programs outside of this system do not. None when none of the next few messages does.

    Raises `redis.RedisError`, and other errors when Redis answers nonsense.
    """
    for message in reversed(cast("list[bytes]", client.lrange(queue, -LOOK, -1))):
        with suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
            at = float(json.loads(message)["headers"][PUBLISHED_AT])
            if math.isfinite(at):
                return at
    return None
