"""The API's view of the broker, with a ping that does what the test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from redis.exceptions import BusyLoadingError, ResponseError

from system.monitor import BrokerMonitor

pytestmark = pytest.mark.asyncio
LONG = 3_600.0


class Pings:
    """Answers that the test gives one by one; the monitor waits for them."""

    def __init__(self) -> None:
        self._answers: asyncio.Queue[bool | Exception] = asyncio.Queue()
        self._asked = asyncio.Event()

    async def __call__(self) -> bool:
        self._asked.set()
        answer = await self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def answer(self, answer: bool | Exception) -> None:
        """Answer the next ping, and wait until the monitor has asked for the one after it."""
        await asyncio.wait_for(self._asked.wait(), 5)
        self._asked.clear()
        self._answers.put_nowait(answer)
        await asyncio.wait_for(self._asked.wait(), 5)


@asynccontextmanager
async def running(monitor: BrokerMonitor) -> AsyncIterator[None]:
    task = asyncio.create_task(monitor.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (nothing to wait on: the monitor has no event)
            await asyncio.sleep(0.001)


async def test_before_the_first_answer_it_is_not_up() -> None:
    monitor = BrokerMonitor(Pings(), LONG, LONG)
    assert not monitor.up
    async with running(monitor):
        await asyncio.sleep(0)
        assert not monitor.up


@pytest.mark.parametrize(
    "answer",
    [
        False,
        ConnectionRefusedError(),
        TimeoutError(),
        ResponseError("MASTERDOWN"),
        BusyLoadingError(),
        ValueError("no reply"),
    ],
    ids=repr,
)
async def test_it_goes_down_and_up_with_the_answers_and_survives_them(answer: bool | Exception) -> None:
    pings = Pings()
    monitor = BrokerMonitor(pings, 0, LONG)
    async with running(monitor):
        await pings.answer(True)
        assert monitor.up
        for _ in range(2):
            await pings.answer(answer)
            assert not monitor.up
        await pings.answer(True)
        assert monitor.up


async def test_a_ping_that_hangs_is_given_up() -> None:
    asked = 0

    async def hang() -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            return True
        await asyncio.Event().wait()
        raise AssertionError

    monitor = BrokerMonitor(hang, 0, 0.01)
    async with running(monitor):
        await until(lambda: asked > 2)
        assert not monitor.up


async def test_a_monitor_that_has_stopped_is_not_believed_for_long() -> None:
    pings = Pings()
    monitor = BrokerMonitor(pings, 0, 0.05)
    async with running(monitor):
        await pings.answer(True)
    await until(lambda: not monitor.up)


async def test_it_ends_although_the_client_drops_the_cancellation() -> None:
    """redis-py's asyncio client waits in `asyncio.wait_for`, which may swallow a cancellation on Python 3.11."""
    asked = asyncio.Event()

    async def deaf() -> bool:
        asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return True

    task = asyncio.create_task(BrokerMonitor(deaf, LONG, LONG).run())
    await asyncio.wait_for(asked.wait(), 5)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    assert done == {task}
