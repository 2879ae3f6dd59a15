"""Background tasks: after the response, errors seen, threads bounded, nothing of it touches the answer."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI

from system.background import Background
from system.routers.background import functions
from system.settings import Settings
from tests.unit.clock import rows
from tests.unit.conftest import Serve

pytestmark = pytest.mark.asyncio


def fail() -> None:
    raise ZeroDivisionError("in the background")


async def afail() -> None:
    fail()


async def test_one_that_fails_is_logged_and_counted_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    background, tasks = Background(), BackgroundTasks()
    done: list[int] = []

    async def later(value: int) -> None:
        done.append(value)

    background.add(tasks, fail)
    background.add(tasks, done.append, 1)
    background.add(tasks, afail)
    background.add(tasks, later, 2)
    assert background.counts == {"scheduled": 4, "done": 0, "failed": 0}
    await tasks()
    assert done == [1, 2]
    assert background.counts == {"scheduled": 4, "done": 2, "failed": 2}
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
    assert "in the background" in caplog.text


async def test_sync_functions_leave_the_loop_and_async_ones_stay() -> None:
    background, tasks, threads = Background(), BackgroundTasks(), []

    async def note() -> None:
        threads.append(threading.get_ident())

    background.add(tasks, lambda: threads.append(threading.get_ident()))
    background.add(tasks, note)
    await tasks()
    assert threads[0] != threading.get_ident() == threads[1]


@pytest.mark.parametrize(("crowd", "together"), [(8, True), (9, False)])
async def test_so_many_run_at_once_and_no_more(crowd: int, together: bool) -> None:
    """A barrier for one more than there are threads is never passed."""
    background, barrier = Background(), threading.Barrier(crowd)

    def meet() -> None:
        barrier.wait(5 if together else 0.1)

    async def one() -> None:
        tasks = BackgroundTasks()
        background.add(tasks, meet)
        await tasks()

    await asyncio.gather(*(one() for _ in range(crowd)))
    assert background.counts == {"scheduled": crowd, "done": crowd * together, "failed": crowd * (not together)}


async def test_the_answer_comes_first(app: FastAPI, serve: Serve) -> None:
    await serve(app)
    events: list[str] = []
    app.dependency_overrides[functions] = lambda: (lambda: events.append("ran"),)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        events.append(message["type"])

    scope = {"type": "http", "method": "POST", "path": "/execute-task/", "query_string": b"", "headers": []}
    await app(scope, receive, send)
    assert events == ["http.response.start", "http.response.body", "ran"]


async def test_an_error_does_not_reach_the_answer(app: FastAPI, client: httpx.AsyncClient) -> None:
    done: list[int] = []
    work: tuple[Callable[[], None], ...] = (fail, lambda: done.append(1))
    app.dependency_overrides[functions] = lambda: work
    response = await client.post("/execute-task/")
    assert (response.status_code, response.json()) == (200, {"message": "Task is running in the background."})
    assert done == [1]
    assert (await client.get("/stats")).json()["background"] == {"scheduled": 2, "done": 1, "failed": 1}


async def test_a_notification_takes_effect_once(client: httpx.AsyncClient, config: Settings) -> None:
    response = await client.post("/send-notification/a@b.c")
    assert response.json() == {"message": "Notification scheduled to be sent in the background"}
    (effect,) = await asyncio.to_thread(rows, config, "effects")
    assert (effect["key"], effect["name"]) == ("a@b.c", "notification")


@pytest.mark.parametrize("email", ["a", "@b", "a@", "a b@c", "a@b@c", "x" * 65 + "@b", "a@" + "x" * 190])
async def test_what_is_no_address_is_refused(client: httpx.AsyncClient, email: str) -> None:
    response = await client.post(f"/send-notification/{email}")
    assert response.status_code == 422
    assert (await client.get("/stats")).json()["background"]["scheduled"] == 0
