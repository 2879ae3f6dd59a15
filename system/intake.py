"""Records jobs whose requests come together in one transaction: a commit waits for the disk, whatever it holds."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from system.job import Job, Refused, Request

TOGETHER = 100  # requests at most in one transaction
#: The API publishes the jobs of a transaction that has no more than so many. With more of them it is busy, and a
#: publish costs it as much as the rest of a request: they are left to the relay, which has another processor.
FEW = 4
Accept = Callable[[Sequence[Request], int], Awaitable[Sequence[tuple[Job, bool] | Refused]]]


class Intake:
    """One transaction at a time. Requests that come while it commits wait for the next one.

    `accept` records several requests; `offer` gets the new jobs that the API publishes, whether or not their clients
    have left meanwhile.
    """

    def __init__(self, accept: Accept, offer: Callable[[Job], object]) -> None:
        self._accept_all, self._offer = accept, offer
        self._waiting: list[tuple[Request, asyncio.Future[Job]]] = []
        self._running: asyncio.Task[None] | None = None

    async def accept(self, request: Request) -> Job:
        """The job of this request, when it is recorded. Raises `KeyReused`, `Backlog`, and what the store raises."""
        answer: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
                await self._record(together)
        finally:
            self._running = None

    async def _record(self, together: Sequence[tuple[Request, asyncio.Future[Job]]]) -> None:
        own = len(together) if len(together) <= FEW else 0
        try:
            answers = await self._accept_all([request for request, _ in together], own)
        except Exception as error:
            for _, waiting in together:
                if not waiting.done():  # its client has left
                    waiting.set_exception(error)
            return
        new = [answer[0] for answer in answers if not isinstance(answer, Refused) and answer[1]]
        for job in new[:own]:
            self._offer(job)
        for (_, waiting), answer in zip(together, answers, strict=True):
            if waiting.done():
                continue
            if isinstance(answer, Refused):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer[0])
