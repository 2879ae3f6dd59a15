"""Idempotency keys: the same request again is the same job, another request is refused, a race has one winner."""

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from system.database import Database
from system.job import KeyReused, Refused, Request
from system.settings import Settings
from system.store import Store
from system.tables import metadata
from tests.unit.clock import rows
from tests.unit.conftest import Broker

shared_application = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
keys = st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True)
latin = st.characters(min_codepoint=0x20, max_codepoint=0xFF)
no_keys = (
    st.text(latin, max_size=130).filter(
        lambda text: not all(c.isascii() and (c.isalnum() or c in "._:-") for c in text)
    )
    | st.just("")
    | st.from_regex(r"[a-z]{129,140}", fullmatch=True)
    | keys.map(lambda key: key + "\n")
)
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([1.0, 0.5, "", "1"])
bodies = st.dictionaries(st.sampled_from("abc"), scalars | st.lists(scalars, max_size=2), max_size=3)


@pytest.fixture
def waiting(app: FastAPI, broker: Broker) -> Broker:
    """Jobs wait in a broker, so that only a key can make two requests one."""
    broker.serve(app.state.services.celery)
    return broker


def same(one: Any, two: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)


@shared_application
@given(key=keys, one=bodies, two=bodies)
@pytest.mark.asyncio
async def test_a_key_stands_for_one_request(
    waiting: Broker, client: httpx.AsyncClient, config: Settings, key: str, one: Any, two: Any
) -> None:
    await asyncio.to_thread(forget, config)
    headers = {"Idempotency-Key": key}
    first = (await client.post("/process-data", json=one, headers=headers)).raise_for_status().json()
    again = (await client.post("/process-data", json=dict(reversed(one.items())), headers=headers)).raise_for_status()
    assert again.json() == first
    other = await client.post("/process-data", json=two, headers=headers)
    if same(one, two):
        assert (other.status_code, other.json()) == (202, first)
    else:
        assert (other.status_code, other.json()) == (409, {"detail": "this Idempotency-Key belongs to another request"})
    another_task = await client.post("/deliver", json=one, headers=headers)
    assert another_task.status_code == 409
    assert [row["id"] for row in await asyncio.to_thread(rows, config, "jobs")] == [first["task_id"]]


def test_two_processes_with_the_same_keys_in_opposite_order_do_not_wait_for_each_other(config: Settings) -> None:
    stores = [Store(config), Store(config)]
    stores[0].create()
    together = threading.Barrier(2, timeout=60)

    def accept(side: int, number: int) -> list[tuple[str, bool]]:
        batch = [Request("t", (), f"{number}-{n:03}") for n in range(100)]
        together.wait()
        answers = stores[side].accept_all(batch[::-1] if side else batch)
        return sorted((answer[0].id, answer[1]) for answer in answers if not isinstance(answer, Refused))

    with ThreadPoolExecutor(2) as sides:
        for number in range(5):
            one, two = sides.map(accept, range(2), [number] * 2)
            assert [job_id for job_id, _ in one] == [job_id for job_id, _ in two]
            assert {new for _, new in one} != {new for _, new in two}, "one of the two has recorded all"


def forget(config: Settings) -> None:
    """Make the store empty. Its database stays: a publisher may be about to use it."""
    database = Database(config.store_url)
    database.create()
    with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
    database.close()


@shared_application
@given(key=no_keys)
@pytest.mark.asyncio
async def test_what_is_no_key_is_refused(
    waiting: Broker, client: httpx.AsyncClient, config: Settings, key: str
) -> None:
    for path, body in (("/process", {}), ("/start-task", None), ("/compute", {"n": 1})):
        headers = {"Idempotency-Key": key.encode("latin-1")}
        response = await client.post(path, json=body, headers=headers)  # type: ignore[arg-type]
        assert response.status_code == 422
        assert response.json()["detail"][0]["loc"] == ["header", "idempotency-key"]
    assert await asyncio.to_thread(rows, config, "jobs") == []


@pytest.mark.asyncio
async def test_without_a_key_the_same_request_is_another_job(waiting: Broker, client: httpx.AsyncClient) -> None:
    ids = {(await client.post("/process-data", json={})).json()["task_id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.asyncio
async def test_repeating_publishes_once_and_answers_when_done_too(app: FastAPI, client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    ids = {(await client.post("/compute", json={"n": 1}, headers=headers)).json()["task_id"] for _ in range(5)}
    (task_id,) = ids
    assert await asyncio.to_thread(app.state.services.publisher.stop, 5)
    assert (await client.post("/compute", json={"n": 1}, headers=headers)).json()["task_id"] == task_id
    stats = (await client.get("/stats")).json()
    assert (stats["jobs"], stats["effects"]) == ({"SUCCESS": 1}, 1)


def test_of_many_at_once_one_is_accepted(config: Settings) -> None:
    Store(config).create()
    crowd = 8
    together = threading.Barrier(crowd)

    def submit(_number: int) -> tuple[str, bool]:
        store = Store(config)  # as in processes of their own
        together.wait()
        job, new = store.accept(Request("t", (1,), "key"))
        return job.id, new

    with ThreadPoolExecutor(crowd) as threads:
        answers = list(threads.map(submit, range(crowd)))
    assert len({job_id for job_id, _ in answers}) == 1
    assert sorted(new for _, new in answers) == [False] * (crowd - 1) + [True]
    assert len(rows(config, "jobs")) == len(rows(config, "outbox")) == 1


def test_of_many_different_ones_at_once_one_is_accepted(config: Settings) -> None:
    store = Store(config)
    store.create()
    together = threading.Barrier(8)

    def submit(number: int) -> str | None:
        together.wait()
        try:
            return store.accept(Request("t", (number,), "key"))[0].id
        except KeyReused:
            return None

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(submit, range(8)))
    assert sum(answer is not None for answer in answers) == 1


@given(one=bodies, two=bodies)
def test_fingerprints_are_equal_for_equal_requests_only(one: Any, two: Any) -> None:
    fingerprint: Callable[[Any], str] = lambda body: Request("t", (body,)).fingerprint  # noqa: E731
    assert (fingerprint(one) == fingerprint(two)) == same(one, two)
    assert Request("u", (one,)).fingerprint != fingerprint(one)
