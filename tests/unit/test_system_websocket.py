"""The events of a job over a WebSocket, spoken to as a server does: ASGI messages, no socket."""

import asyncio
import json
import queue
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from fastapi import FastAPI

from system.job import Job, Request
from system.services import services_of
from system.store import Store
from tests.unit.conftest import Serve

pytestmark = pytest.mark.asyncio


class Browser:
    """One connection to the events of a job."""

    def __init__(self, app: FastAPI, job_id: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[Any] = asyncio.Queue()
        lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "websocket", "path": f"/task-status/{job_id}/events", "query_string": b"", "headers": lines}
        self.running = asyncio.create_task(app(scope, self._to_app.get, self._from_app.put))
        self.send(type="websocket.connect")

    def send(self, **message: Any) -> None:
        """What the server hears."""
        self._to_app.put_nowait(message)

    async def message(self) -> Any:
        """What the server says."""
        return await asyncio.wait_for(self._from_app.get(), 5)

    async def event(self) -> dict[str, Any]:
        """A status that the server sends."""
        message = await self.message()
        assert message["type"] == "websocket.send", message
        event: dict[str, Any] = json.loads(message["text"])
        return event

    async def closed(self) -> int:
        """The code with which the server ends the connection; the handler has returned."""
        message = await self.message()
        assert message["type"] == "websocket.close", message
        await asyncio.wait_for(self.running, 5)
        assert self._from_app.empty()
        code: int = message["code"]
        return code


Watch = Callable[[str], AbstractAsyncContextManager[Browser]]


@pytest.fixture
def store(app: FastAPI) -> Store:
    """The application's job store."""
    store: Store = app.state.services.store
    return store


@pytest.fixture
def watch(app: FastAPI, serve: Serve) -> Watch:
    """Open the events of a job."""

    @asynccontextmanager
    async def watch(job_id: str) -> AsyncIterator[Browser]:
        browser = Browser(app, job_id)
        assert (await browser.message())["type"] == "websocket.accept"
        try:
            yield browser
        finally:
            browser.running.cancel()
            await asyncio.wait([browser.running])

    return watch


@pytest.fixture
def job_id(store: Store) -> str:
    """A job that nobody runs."""
    store.create()
    return store.accept(Request("system.divide", (1, 2)))[0].id


async def test_every_change_comes_in_order_and_then_the_end(
    app: FastAPI, serve: Serve, watch: Watch, store: Store, job_id: str
) -> None:
    await serve(app)
    async with watch(job_id) as browser:
        seen = [await browser.event()]
        await asyncio.to_thread(store.start, job_id, 1)
        seen.append(await browser.event())
        await asyncio.to_thread(store.retry, job_id, 1, 0)
        seen.append(await browser.event())
        await asyncio.to_thread(store.start, job_id, 2)
        seen.append(await browser.event())
        await asyncio.to_thread(store.finish, job_id, "system.divide", 0.5)
        seen.append(await browser.event())
        assert await browser.closed() == 1000
    states = [(event["task_status"], event["attempts"]) for event in seen]
    assert states == [("PENDING", 0), ("STARTED", 1), ("RETRY", 2), ("STARTED", 2), ("SUCCESS", 2)]
    assert {event["task_id"] for event in seen} == {job_id}
    assert seen[-1]["task_result"] == 0.5


async def test_what_did_not_change_is_not_sent_again(
    app: FastAPI, serve: Serve, watch: Watch, store: Store, job_id: str
) -> None:
    reads: queue.Queue[str] = queue.Queue()

    class Counted:
        def watched(self, job_ids: Collection[str]) -> dict[str, Job]:
            reads.put(job_id)
            return store.watched(job_ids)

    services = replace(app.state.services, store=Counted())
    app.dependency_overrides[services_of] = lambda: services
    await serve(app)
    async with watch(job_id) as browser:
        assert (await browser.event())["task_status"] == "PENDING"
        for _ in range(3):
            await asyncio.to_thread(reads.get, timeout=5)
        await asyncio.to_thread(store.start, job_id, 1)
        assert (await browser.event())["task_status"] == "STARTED"


async def test_who_comes_late_gets_the_end_at_once(
    app: FastAPI, serve: Serve, watch: Watch, store: Store, job_id: str
) -> None:
    await serve(app)
    await asyncio.to_thread(store.fail, job_id, 1, ValueError("why"))
    async with watch(job_id) as browser:
        event = await browser.event()
        assert await browser.closed() == 1000
    assert (event["task_status"], event["error"]) == ("FAILURE", {"type": "ValueError", "message": "why"})


async def test_an_unknown_job_has_a_code_of_its_own(app: FastAPI, serve: Serve, watch: Watch) -> None:
    await serve(app)
    async with watch("unknown") as browser:
        assert await browser.closed() == 4404


async def test_what_a_client_says_is_ignored_and_its_leaving_is_noticed(
    app: FastAPI, serve: Serve, watch: Watch, store: Store, job_id: str
) -> None:
    await serve(app)
    async with watch(job_id) as browser:
        assert (await browser.event())["task_status"] == "PENDING"
        browser.send(type="websocket.receive", text="hello")
        browser.send(type="websocket.receive", bytes=b"\x00")
        await asyncio.to_thread(store.start, job_id, 1)
        assert (await browser.event())["task_status"] == "STARTED"
        browser.send(type="websocket.disconnect", code=1001)
        await asyncio.wait_for(browser.running, 5)


async def test_a_store_that_breaks_ends_the_connection_with_try_again_later(
    app: FastAPI, serve: Serve, watch: Watch, job_id: str
) -> None:
    await serve(app)
    database = app.state.services.settings.database

    def harm() -> None:
        for file in database.parent.glob("jobs.db*"):
            file.unlink()
        database.mkdir()

    async with watch(job_id) as browser:
        assert (await browser.event())["task_status"] == "PENDING"
        await asyncio.to_thread(harm)
        assert await browser.closed() == 1013  # RFC 6455's registry at IANA: "Try Again Later"
