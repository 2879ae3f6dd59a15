"""What the unit tests share: no sockets, Hypothesis's profile, and the system with eager Celery."""

import asyncio
import os
import queue
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import pytest_asyncio
from blockbuster import blockbuster_ctx
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from kombu.transport import memory
from kombu.transport.virtual import BrokerState
from sqlalchemy import URL

from system import store
from system.celery_app import App
from system.database import Database
from system.factory import create_app
from system.settings import Settings
from tests.conftest import NewDatabase
from tests.unit.no_sockets import no_sockets as no_sockets

# No deadline: on a machine that others use too, time says nothing about the code.
hypothesis.settings.register_profile("brownout", deadline=None, derandomize="CI" in os.environ, print_blob=True)
hypothesis.settings.load_profile("brownout")


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for databases; in memory where that can be had, because a commit waits for the disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def configure(scratch: Path, new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings for one test: no pretended work, a store of its own, nothing from the environment."""
    own = new_database()
    for name in [name for name in os.environ if name.startswith("SYSTEM_")]:
        monkeypatch.delenv(name)

    def configure(**values: Any) -> Settings:
        return Settings(_env_file=None, **{"pace": 0, "database": scratch / "jobs.db", **own, **values})

    return configure


@pytest.fixture(autouse=True)
def closed_databases(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what the stores of a test keep open. A connection of psycopg that is dropped instead is a warning."""
    opened: list[Database] = []

    def recorded(url: URL) -> Database:
        opened.append(Database(url))
        return opened[-1]

    monkeypatch.setattr(store, "Database", recorded)
    yield
    for database in opened:
        database.close()


@pytest.fixture
def config(configure: Callable[..., Settings]) -> Settings:
    """The usual settings of a test."""
    return configure()


async def answering() -> bool:
    """A broker that is there."""
    return True


def eager(settings: Settings) -> FastAPI:
    """The system as it is, but for Celery's own switch that runs a task where it would be sent."""
    app = create_app(settings, ping=answering)
    app.state.services.celery.conf.task_always_eager = True
    return app


@pytest.fixture
def app(config: Settings) -> FastAPI:
    """An application; its lifespan has not run."""
    return eager(config)


class Broker:
    """A broker in memory, of one test: what it was sent, as (queue, message), and whether it takes anything."""

    def __init__(self) -> None:
        self.down = False
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.tried: queue.Queue[None] = queue.Queue()
        broker = self

        class Channel(memory.Channel):
            def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
                broker.tried.put(None)
                if broker.down:
                    raise ConnectionRefusedError("no broker")
                broker.sent.append((queue, message))

        class Transport(memory.Transport):
            connection_errors = recoverable_connection_errors = (ConnectionError,)  # as with Redis

        Transport.Channel, Transport.global_state = Channel, BrokerState()
        self._transport = Transport

    def serve(self, celery: App) -> None:
        """Become this application's broker."""
        celery.conf.update(broker_url="memory", broker_transport=self._transport, task_always_eager=False)

    @property
    def ids(self) -> list[str]:
        """The task ids of the messages, in order."""
        return [message["headers"]["id"] for _, message in self.sent]


@pytest.fixture
def broker() -> Broker:
    """A broker in memory."""
    return Broker()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Run an application's lifespan as a server does; httpx's transport does not."""
    to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    running = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, to_app.get, from_app.put))

    async def step(name: str) -> None:
        await to_app.put({"type": f"lifespan.{name}"})
        answer = await from_app.get()
        assert answer["type"] == f"lifespan.{name}.complete", answer

    await step("startup")
    try:
        yield
    finally:
        await step("shutdown")
        await running


Serve = Callable[[FastAPI], Any]


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    """Clients of running applications: `await serve(app)`. From the first one on, blocking the loop is an error."""
    async with AsyncExitStack() as stack:
        watched = False

        async def serve(app: FastAPI) -> AsyncClient:
            nonlocal watched
            if not watched:
                stack.enter_context(blockbuster_ctx())
                watched = True
            await stack.enter_async_context(lifespan(app))
            client = AsyncClient(transport=ASGITransport(app), base_url="http://localhost")
            return await stack.enter_async_context(client)

        yield serve


@pytest_asyncio.fixture
async def client(app: FastAPI, serve: Serve) -> AsyncClient:
    """A client of the running application of this test."""
    client: AsyncClient = await serve(app)
    return client


async def ended(client: AsyncClient, task_id: str) -> dict[str, Any]:
    """The status of a job when it is final."""
    async with asyncio.timeout(5):
        while True:
            status: dict[str, Any] = (await client.get(f"/task-status/{task_id}")).raise_for_status().json()
            if status["task_status"] in ("SUCCESS", "FAILURE"):
                return status
            await asyncio.sleep(0.001)
