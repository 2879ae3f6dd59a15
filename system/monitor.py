"""Pings the broker in the background, so that no HTTP request waits for the broker."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from system.settings import Settings

Ping = Callable[[], Awaitable[bool]]


class BrokerMonitor:
    """Pings the broker every `period` seconds. `up` becomes false at most `period` + `timeout` seconds after an outage
    begins."""

    def __init__(self, ping: Ping, period: float, timeout: float) -> None:
        self._ping, self._period, self._timeout = ping, period, timeout
        self._answered: float | None = None

    @property
    def up(self) -> bool:
        """Whether the broker answered the newest ping; false also when the monitor has stopped."""
        longest = self._period + 2 * self._timeout
        return self._answered is not None and time.monotonic() - self._answered <= longest

    async def run(self) -> None:
        """Ping the broker until the asyncio task is cancelled."""
        task = asyncio.current_task()
        while task is not None:
            started = time.monotonic()
            self._answered = started if await self._answers() else None
            if task.cancelling():  # on Python 3.11 `asyncio.wait_for`, which redis-py uses, may drop a cancellation
                return
            await asyncio.sleep(self._period)

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._ping()
        except Exception:  # after any error, even a reply that cannot be parsed, the next ping may be answered
            return False


def redis_ping(settings: Settings) -> Ping:
    """Return a ping that sends PING to Redis; a Redis that loads its data or has no connection left counts as down."""

    async def ping() -> bool:
        client = Redis.from_url(str(settings.broker_url), retry=Retry(NoBackoff(), 0), single_connection_client=True)
        async with client:
            return bool(await client.ping())

    return ping
