"""What the API knows of the broker: asked in the background, so that no request waits for it."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from system.settings import Settings

Ping = Callable[[], Awaitable[bool]]


class BrokerMonitor:
    """Pings the broker every `period` seconds. `up` is false from `period` + `timeout` after an outage begins."""

    def __init__(self, ping: Ping, period: float, timeout: float) -> None:
        self._ping, self._period, self._timeout = ping, period, timeout
        self._answered: float | None = None

    @property
    def up(self) -> bool:
        """Whether the newest ping was answered; never true on the word of a monitor that has stopped."""
        longest = self._period + 2 * self._timeout
        return self._answered is not None and time.monotonic() - self._answered <= longest

    async def run(self) -> None:
        """Ping until cancelled."""
        task = asyncio.current_task()
        while task is not None:
            started = time.monotonic()
            self._answered = started if await self._answers() else None
            if task.cancelling():  # `asyncio.wait_for`, inside the client, drops a cancellation now and then (3.11)
                return
            await asyncio.sleep(self._period)

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._ping()
        except Exception:  # whatever it was (a garbled reply raises ValueError): the next ping may be answered
            return False


def redis_ping(settings: Settings) -> Ping:
    """A ping by PING: a Redis that is loading its data, or has no connection left, is not up."""

    async def ping() -> bool:
        client = Redis.from_url(str(settings.broker_url), retry=Retry(NoBackoff(), 0), single_connection_client=True)
        async with client:
            return bool(await client.ping())

    return ping
