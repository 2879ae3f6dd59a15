"""Looks into the broker's queues. To kombu a queue is a Redis list, to which messages are pushed at the left, and from
which they are popped at the right."""

import json
from contextlib import suppress
from typing import cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from system.settings import Settings

PUBLISHED_AT = "published_at"  # the header of a message that says when it was published, in s since the epoch

LOOK = 10  # messages at most


def client_of(settings: Settings) -> Redis:
    """A client that gives up in time."""
    timeout = settings.broker_timeout
    return Redis.from_url(
        str(settings.broker_url), socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
    )


def oldest(client: Redis, queue: str) -> float | None:
    """When the first of the messages that are popped next was published, or the first of them that says so: beat's
    messages do not. None when none does."""
    for message in reversed(cast("list[bytes]", client.lrange(queue, -LOOK, -1))):
        with suppress(ValueError, KeyError, TypeError):
            return float(json.loads(message)["headers"][PUBLISHED_AT])
    return None
