"""Works at once: none outlives the error of another, and a thread is waited for."""

import asyncio
import threading

import pytest

from brownout.explore.together import together, unbroken


def test_results_keep_their_order() -> None:
    async def work(n: int) -> int:
        await asyncio.sleep(0 if n else 0.001)
        return n

    assert asyncio.run(together(work(n) for n in range(3))) == [0, 1, 2]


def test_an_error_comes_when_the_others_have_ended() -> None:
    ended = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("waits")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise OSError("it does not work")

    with pytest.raises(OSError, match="it does not work"):
        asyncio.run(together((waits(), fails())))
    assert ended == ["waits"]


def test_a_thread_is_over_before_the_one_that_waits_for_it_is_cancelled() -> None:
    go, over = threading.Event(), []

    def call() -> None:
        go.wait()
        over.append(True)

    async def main() -> None:
        task = asyncio.ensure_future(unbroken(call))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.01)
        assert not task.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert over == [True]

    asyncio.run(main())
