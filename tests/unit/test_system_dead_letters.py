"""Dead letters over the API: what used up its attempts is seen with its reason, and runs again when somebody asks."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from system.job import Reason, Request
from system.settings import Settings
from system.store import Store
from tests.unit.clock import let_pass, rows
from tests.unit.conftest import Serve, eager

pytestmark = pytest.mark.asyncio


@pytest.fixture
def store(app: FastAPI) -> Store:
    """The application's job store."""
    store: Store = app.state.services.store
    store.create()
    return store


def dead(store: Store, number: int = 0) -> str:
    """A job that used up its retries."""
    job = store.accept(Request("t", (number,)))[0]
    assert store.start(job.id, 3).run
    store.fail(job.id, 3, ValueError(f"no {number}"), Reason.RETRIES)
    return job.id


async def listed(client: httpx.AsyncClient, **query: Any) -> Any:
    """A page of dead letters."""
    return (await client.get("/dead-letters", params=query)).raise_for_status().json()


async def test_each_reason_is_shown_and_a_plain_failure_is_none(
    client: httpx.AsyncClient, store: Store, config: Settings
) -> None:
    def prepare() -> list[str]:
        poison, unknown, plain = (store.accept(Request("t", (n,)))[0].id for n in range(3))
        for _ in range(config.max_starts + 1):
            store.start(poison, 1)
            store.over([poison])
            store.unknown(unknown)
        store.start(plain, 1)
        store.fail(plain, 1, ZeroDivisionError("division by zero"))
        return [poison, unknown, dead(store)]

    ids = await asyncio.to_thread(prepare)
    page = await listed(client)
    assert [(letter["task_id"], letter["reason"]) for letter in page["dead_letters"]] == [
        (ids[0], "poison"), (ids[1], "unknown task"), (ids[2], "retries"),
    ]  # fmt: skip
    assert page["next"] is None
    last = page["dead_letters"][-1]
    assert (last["task"], last["attempts"], last["error"]) == ("t", 3, {"type": "ValueError", "message": "no 0"})
    assert set(last) == {"task_id", "task", "reason", "error", "attempts", "died_at"}


async def test_pages_show_each_dead_letter_once(client: httpx.AsyncClient, store: Store) -> None:
    ids = await asyncio.to_thread(lambda: [dead(store, n) for n in range(5)])
    seen, after = [], 0
    while after is not None:
        page = await listed(client, limit=2, after=after)
        assert len(page["dead_letters"]) <= 2
        seen += [letter["task_id"] for letter in page["dead_letters"]]
        after = page["next"]
    assert seen == ids
    for wrong in ({"limit": 0}, {"limit": 101}, {"after": -1}, {"after": 2**31}):
        assert (await client.get("/dead-letters", params=wrong)).status_code == 422


async def test_a_job_that_is_driven_again_ends_once(client: httpx.AsyncClient, store: Store, config: Settings) -> None:
    job_id = await asyncio.to_thread(dead, store)
    for status in (202, 404):
        assert (await client.post(f"/dead-letters/{job_id}/redrive")).status_code == status, "it is a dead letter once"
    now = (await client.get(f"/task-status/{job_id}")).json()
    assert (now["task_status"], now["attempts"], now["error"]) == ("PENDING", 4, None)
    assert (await listed(client))["dead_letters"] == []

    def run() -> list[bool]:
        (job,) = store.claim(10)
        assert job.id == job_id
        stale, fresh = store.start(job_id, 3).run, store.start(job_id, job.attempts).run
        store.fail(job_id, 3, ValueError("a run from before"))
        return [stale, fresh, store.finish(job_id, "t", 1), store.finish(job_id, "t", 2)]

    assert await asyncio.to_thread(run) == [False, True, True, False]
    assert [row["key"] for row in await asyncio.to_thread(rows, config, "effects")] == [job_id]
    assert (await client.get(f"/task-status/{job_id}")).json()["task_result"] == 1


async def test_what_is_no_dead_letter_is_not_driven_again(client: httpx.AsyncClient, store: Store) -> None:
    job_id = await asyncio.to_thread(lambda: store.accept(Request("t", ()))[0].id)
    for wrong in (job_id, "unknown", "%00"):
        assert (await client.post(f"/dead-letters/{wrong}/redrive")).status_code == 404


async def test_a_full_backlog_takes_no_dead_letter(configure: Callable[..., Settings], serve: Serve) -> None:
    app = eager(configure(backlog_limit=1))
    client, store = await serve(app), app.state.services.store
    job_id = await asyncio.to_thread(dead, store)
    await asyncio.to_thread(store.accept, Request("t", ()))
    answer = await client.post(f"/dead-letters/{job_id}/redrive")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert len((await listed(client))["dead_letters"]) == 1, "and it stays one"


async def test_a_dead_letter_outlives_other_finished_jobs(
    client: httpx.AsyncClient, store: Store, config: Settings
) -> None:
    job_id = await asyncio.to_thread(dead, store)
    await asyncio.to_thread(let_pass, config, config.retention + 1)
    assert await asyncio.to_thread(store.tick)
    assert [letter["task_id"] for letter in (await listed(client))["dead_letters"]] == [job_id]
    await asyncio.to_thread(let_pass, config, config.dead_letter_retention + 1)
    assert await asyncio.to_thread(store.tick)
    for table in ("dead_letters", "jobs"):
        assert await asyncio.to_thread(rows, config, table) == []
