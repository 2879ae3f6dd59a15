"""Runs FastAPI's BackgroundTasks, logs and counts their errors, and bounds their threads. A background task runs at
most once: a process that dies drops its tasks."""

import inspect
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import BackgroundTasks

log = logging.getLogger(__name__)
THREADS = 8


class Background:
    """Adds functions to a response's background tasks and counts the functions that ended well or failed.

    Without this class an exception would skip the response's later background tasks, and each sync function would take
    one of the forty threads that all sync endpoints share.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter({"scheduled": 0, "done": 0, "failed": 0})
        self._limiter = CapacityLimiter(THREADS)

    def add(self, tasks: BackgroundTasks, function: Callable[..., Any], *args: Any) -> None:
        """Call `function(*args)`, sync or async, after the response was sent."""
        self.counts["scheduled"] += 1
        tasks.add_task(self._run, function, *args)

    async def _run(self, function: Callable[..., Any], *args: Any) -> None:
        try:
            if inspect.iscoroutinefunction(function):
                await function(*args)
            else:
                await to_thread.run_sync(function, *args, limiter=self._limiter)
        except Exception:
            self.counts["failed"] += 1
            log.exception("a background task failed")
        else:
            self.counts["done"] += 1
