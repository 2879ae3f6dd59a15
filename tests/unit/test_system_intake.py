"""Requests that come together are recorded together; each gets its own answer."""

import asyncio
from collections.abc import Sequence

import pytest
import pytest_asyncio

from system.intake import FEW, TOGETHER, Intake
from system.job import Backlog, Job, KeyReused, Request
from system.settings import Settings
from system.store import Answer, Store
from tests.unit.clock import rows

pytestmark = pytest.mark.asyncio


class Slow:
    """A store whose commits take until they are let go."""

    def __init__(self, store: Store) -> None:
        self.store, self.batches = store, list[int]()
        self.may, self.begun = asyncio.Event(), asyncio.Event()
        self.offered: list[Job] = []
        self.intake = Intake(self.accept, self.offered.append)

    async def accept(self, requests: Sequence[Request], own: int) -> list[Answer]:
        self.batches.append(len(requests))
        self.begun.set()
        await self.may.wait()
        return await asyncio.to_thread(self.store.accept_all, requests, own)

    async def together(self, *requests: Request) -> list[Job | BaseException]:
        """Hand in the first request, and the others while it commits."""
        first, *others = requests
        waiting = [asyncio.create_task(self.intake.accept(first))]
        await self.begun.wait()
        waiting += [asyncio.create_task(self.intake.accept(request)) for request in others]
        await asyncio.sleep(0)
        self.may.set()
        return await asyncio.gather(*waiting, return_exceptions=True)


@pytest_asyncio.fixture
async def slow(config: Settings) -> Slow:
    store = Store(config.model_copy(update={"backlog_limit": 2 * TOGETHER}))
    await asyncio.to_thread(store.create)
    return Slow(store)


def some(count: int) -> list[Request]:
    return [Request("t", (number,)) for number in range(count)]


async def test_what_comes_during_a_commit_shares_the_next_one(slow: Slow) -> None:
    requests = some(TOGETHER + 11)
    jobs = await slow.together(*requests)
    assert [job.id for job in jobs if isinstance(job, Job)] == [request.id for request in requests]
    assert slow.batches == [1, TOGETHER, 10]


@pytest.mark.parametrize("count", [FEW, FEW + 1])
async def test_a_busy_api_leaves_the_publishing_to_the_relay(slow: Slow, config: Settings, count: int) -> None:
    requests = some(1 + count)
    await slow.together(*requests)
    own = requests if count == FEW else requests[:1]
    assert [job.id for job in slow.offered] == [request.id for request in own]
    due = {job.id for job in await asyncio.to_thread(slow.store.claim, 100)}
    assert due == {request.id for request in requests} - {request.id for request in own}
    assert len(await asyncio.to_thread(rows, config, "outbox")) == len(requests)


async def test_each_gets_its_own_answer(slow: Slow) -> None:
    """The same key twice, and with another request, in one transaction; and more than there is room for."""
    first, again, other = Request("t", (1,), "k"), Request("t", (1,), "k"), Request("t", (2,), "k")
    answers = await slow.together(Request("t", ()), first, again, other)
    assert isinstance(answers[1], Job)
    assert answers[1] == answers[2]
    assert isinstance(answers[3], KeyReused)
    assert [job.id for job in slow.offered] == [slow.offered[0].id, first.id], "what is known is not published again"


async def test_what_there_is_no_room_for_is_refused_and_nothing_else(slow: Slow) -> None:
    slow.store = Store(slow.store._settings.model_copy(update={"backlog_limit": 5}))
    answers = await slow.together(*some(8))
    assert [isinstance(answer, Job) for answer in answers] == [True] * 5 + [False] * 3
    assert all(isinstance(answer, Backlog) for answer in answers[5:])


async def test_an_error_is_everybodys_and_the_next_ones_go_on(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Exception):
        """The store can't be used."""

    def fails(_requests: Sequence[Request], _own: int) -> list[Answer]:
        raise Broken

    with monkeypatch.context() as patch:
        patch.setattr(slow.store, "accept_all", fails)
        assert [type(answer) for answer in await slow.together(*some(4))] == [Broken] * 4
    assert isinstance(await slow.intake.accept(Request("t", ())), Job)


async def test_a_client_that_leaves_takes_nobody_along(slow: Slow) -> None:
    """Its job is recorded and published all the same."""
    leaving = asyncio.create_task(slow.intake.accept(Request("t", (1,))))
    await slow.begun.wait()
    staying = asyncio.create_task(slow.intake.accept(Request("t", (2,))))
    leaving.cancel()
    slow.may.set()
    assert isinstance(await staying, Job)
    assert len(slow.offered) == 2
