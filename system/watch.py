"""Tells listeners how the jobs that they watch change. However many listeners there are, one query a tick asks for all
the jobs that are watched."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager

from system.job import Job
from system.store import Unusable

log = logging.getLogger(__name__)
POLL_SECONDS = 0.1
Read = Callable[[Collection[str]], Awaitable[Mapping[str, Job]]]


class TooMany(Exception):
    """There are as many listeners as this process takes."""


class Closed(Exception):
    """This process shuts down, or the client has left."""


class Listener:
    """Waits for the changes of one job. A listener that is slow gets the newest state, and never an older one."""

    def __init__(self) -> None:
        self._news: Job | Exception | None = None
        self._told = asyncio.Event()
        self._position: tuple[int, int] | None = None

    def tell(self, news: Job | Exception | None) -> None:
        """Give the listener the job, None for an unknown job, or an error. A job that did not change is no news."""
        if isinstance(self._news, Closed) or (isinstance(news, Job) and news.position == self._position):
            return
        self._news = news
        # An error may have taken the place of a state that was not read yet, so the job is news again after it.
        self._position = news.position if isinstance(news, Job) else None
        self._told.set()

    async def next(self) -> Job | None:
        """Wait for news; at first this is the job as it is. Returns None for an unknown job.

        Raises `Closed`, and one of `Unusable` when the job store can't be asked.
        """
        await self._told.wait()
        self._told.clear()
        if isinstance(self._news, Exception):
            raise self._news
        return self._news


class Watch:
    """The listeners of one process, at most `limit`. `read` gets the jobs with these ids, without their arguments."""

    def __init__(self, read: Read, limit: int) -> None:
        self._read, self._limit, self._closed = read, limit, False
        self._listeners: dict[Listener, str] = {}
        self._polling: asyncio.Task[None] | None = None

    @contextmanager
    def listener(self, job_id: str) -> Iterator[Listener]:
        """Listen to a job within the block. Raises `TooMany`."""
        if len(self._listeners) >= self._limit:
            raise TooMany
        listener = Listener()
        self._listeners[listener] = job_id
        if self._closed:
            listener.tell(Closed())
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        try:
            yield listener
        finally:
            del self._listeners[listener]

    def close(self) -> None:
        """End all listeners, present and future."""
        self._closed = True
        for listener in self._listeners:
            listener.tell(Closed())

    async def _poll(self) -> None:
        try:
            while self._listeners:
                await self._tick(list(self._listeners.items()))
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self._polling = None

    async def _tick(self, watched: Collection[tuple[Listener, str]]) -> None:
        try:
            jobs = await self._read({job_id for _, job_id in watched})
        except Exception as error:  # the next tick may go better
            log.warning("the watched jobs can't be read: %s", error, exc_info=not isinstance(error, Unusable))
            for listener, _ in watched:
                listener.tell(error)
        else:
            for listener, job_id in watched:
                listener.tell(jobs.get(job_id))
