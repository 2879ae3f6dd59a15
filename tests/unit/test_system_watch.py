"""A listener is told the newest state of its job, whatever it missed."""

import asyncio

import pytest

from system.job import Job, State
from system.watch import Listener

DONE = Job("j", "t", (), State.SUCCESS, attempts=1)


async def _next(listener: Listener) -> Job | None:
    return await asyncio.wait_for(listener.next(), 5)


@pytest.mark.asyncio
async def test_a_state_that_an_error_replaced_before_it_was_read_is_told_again() -> None:
    """The client was slow, and a look at the store failed meanwhile."""
    listener = Listener()
    listener.tell(DONE)
    listener.tell(RuntimeError("the store is busy"))
    with pytest.raises(RuntimeError):
        await _next(listener)
    listener.tell(DONE)
    assert await _next(listener) == DONE


@pytest.mark.asyncio
async def test_a_state_that_was_told_is_no_news() -> None:
    listener = Listener()
    listener.tell(DONE)
    assert await _next(listener) == DONE
    listener.tell(DONE)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(listener.next(), 0.01)
