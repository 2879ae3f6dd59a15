"""Looks into the broker's queues."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis import Redis

from system.broker import LOOK, client_of, oldest
from system.settings import Settings


def message(**headers: object) -> bytes:
    return json.dumps({"body": "", "headers": headers}).encode()


#: A list of Redis, of which the last one is popped next.
@pytest.mark.parametrize(
    ("waiting", "at"),
    [
        ([], None),
        ([message(published_at=7.5)], 7.5),
        ([message(published_at=9), message(published_at=7)], 7.0),
        ([message(published_at=9), message(task="system.tick")], 9.0),
        ([message(published_at=9), b"no JSON", b"[]", b"{}", message(published_at="soon")], 9.0),
        ([message(published_at=9), message(published_at=float("nan")), message(published_at=10**400)], 9.0),
        ([message(published_at=9), *[message()] * LOOK], None),
    ],
)
def test_the_oldest_message_that_says_when_it_was_published(waiting: list[bytes], at: float | None) -> None:
    def lrange(queue: str, start: int, end: int) -> list[bytes]:
        assert (queue, end) == ("celery", -1)
        return waiting[start:]

    assert oldest(cast("Redis", SimpleNamespace(lrange=lrange)), "celery") == at


def test_a_look_that_is_not_answered_is_given_up(configure: Callable[..., Settings]) -> None:
    config = configure(broker_timeout=1.25)
    options: dict[str, Any] = client_of(config).connection_pool.connection_kwargs
    assert options["socket_timeout"] == options["socket_connect_timeout"] == config.broker_timeout
    assert options["retry"].get_retries() == 0
