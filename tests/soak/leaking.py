"""APIs that keep what they should drop, each for the soak to find; nothing else imports these modules' mistakes.

`connection:app` and `result:app` are uvicorn's names for them.
"""

from __future__ import annotations

from typing import Any

from celery.result import AsyncResult
from fastapi import FastAPI
from redis import Redis
from starlette.types import Receive, Scope, Send

from system.factory import create_app
from system.job import Job
from system.publisher import Publisher

kept: list[Any] = []
offer = Publisher.offer


def connection() -> FastAPI:
    """A connection to Redis for each job, which nobody closes."""
    app = create_app()
    url = str(app.state.services.settings.broker_url)

    def with_connection(self: Publisher, job: Job) -> bool:
        client = Redis.from_url(url)
        kept.append((client, client.connection_pool.get_connection()))
        return offer(self, job)

    Publisher.offer = with_connection  # type: ignore[method-assign]
    return app


class KeepsResults:
    """An AsyncResult for each request, kept for good: as a middleware, in front of all routes."""

    def __init__(self, app: Any, celery: Any) -> None:
        self._app, self._celery = app, celery

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            kept.append(AsyncResult(str(len(kept)), app=self._celery))
        await self._app(scope, receive, send)


def result() -> FastAPI:
    """An AsyncResult for each request, which nobody drops."""
    app = create_app()
    app.add_middleware(KeepsResults, celery=app.state.services.celery)
    return app
