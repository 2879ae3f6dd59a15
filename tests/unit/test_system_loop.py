"""Nothing blocks the event loop: blockbuster watches each test of the API, and bites."""

import asyncio
import time
from collections.abc import Callable

import httpx
import pytest
from blockbuster import BlockingError
from fastapi import FastAPI
from sqlalchemy import create_engine, text

from system.services import Shared
from system.settings import Settings
from tests.unit.conftest import Serve

pytestmark = pytest.mark.asyncio

REQUESTS = [
    ("GET", "/", None),
    ("GET", "/example", None),
    ("GET", "/health-check", None),
    ("GET", "/health-check/ready", None),
    ("GET", "/stats", None),
    ("GET", "/task-status/x", None),
    ("GET", "/task-status/x/stream", None),
    ("GET", "/dead-letters", None),
    ("POST", "/dead-letters/x/redrive", None),
    ("POST", "/process", {}),
    ("POST", "/process-data", {}),
    ("POST", "/start-task", None),
    ("POST", "/divide", {"x": 1, "y": 2}),
    ("POST", "/compute", {"n": 1}),
    ("POST", "/send-notification/a@b.c", None),
    ("POST", "/execute-task/", None),
]


async def test_no_endpoint_blocks(app: FastAPI, serve: Serve) -> None:
    client = await serve(app)
    await asyncio.to_thread(app.state.services.store.saw, "worker")
    operations = {(method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item}
    tried = {(method, path.replace("/x", "/{task_id}").replace("a@b.c", "{email}")) for method, path, _ in REQUESTS}
    assert operations - tried == {("POST", "/deliver")}  # like /process; its task would need the outside service
    for method, path, body in REQUESTS:
        assert (await client.request(method, path, json=body)).status_code < 500


async def test_a_handler_that_blocks_goes_red(app: FastAPI, config: Settings, serve: Serve) -> None:
    """The mistakes that the documents warn of, each planted in a handler of the system."""

    async def sleeps() -> None:
        time.sleep(0.001)  # noqa: ASYNC251

    async def queries() -> None:
        with create_engine(f"sqlite:///{config.database}").connect() as connection:
            connection.execute(text("SELECT 1"))

    async def submits(services: Shared) -> None:
        services.store.job("x")

    for number, handler in enumerate[Callable[..., object]]((sleeps, queries, submits)):
        app.add_api_route(f"/planted/{number}", handler)
    client = await serve(app)
    for number in range(3):
        with pytest.raises(BlockingError):
            await client.get(f"/planted/{number}")


async def test_the_test_itself_is_watched(client: httpx.AsyncClient) -> None:
    with pytest.raises(BlockingError):
        time.sleep(0.001)  # noqa: ASYNC251
    await asyncio.to_thread(time.sleep, 0)
