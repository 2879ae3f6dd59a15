"""Inputs: what JSON can say is kept as it was sent; what it can't is refused with a reason, and queues nothing."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from system.schemas import MAX_DEPTH
from system.settings import Settings
from tests.unit.conftest import Broker, Serve, eager, ended

pytestmark = pytest.mark.asyncio
shared_application = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
integers = st.integers(-(2**63), 2**63 - 1)
scalars = st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | text
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=15
)
objects = st.dictionaries(text, values, max_size=4)
JSON_PATHS = ["/process", "/process-data", "/deliver"]
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def queued(app: FastAPI, broker: Broker) -> Callable[[], int]:
    """Let jobs wait in a broker instead of running, and say how many there are."""
    broker.serve(app.state.services.celery)
    store = app.state.services.store
    return lambda: sum(store.stats()["jobs"].values())


@shared_application
@given(data=objects)
async def test_any_json_object_comes_back_as_it_was_sent(client: httpx.AsyncClient, app: FastAPI, data: Any) -> None:
    response = await client.post("/process-data", json=data)
    assert response.status_code == 202, response.text
    task_id = response.json()["task_id"]
    (kept,) = (await asyncio.to_thread(app.state.services.store.job, task_id)).args
    status = await ended(client, task_id)
    expected = json.dumps(data, sort_keys=True)  # as text: 1, 1.0 and True are equal in Python
    assert json.dumps(kept, sort_keys=True) == expected
    assert json.dumps(status["task_result"]["data"], sort_keys=True) == expected


WRONG_NUMBERS: list[Any] = ["1", True, None, [], {}, "NaN"]
WRONG_VALUES: list[tuple[str, Any]] = [
    *(("/divide", {"x": value, "y": 1}) for value in WRONG_NUMBERS),
    ("/divide", {"x": 1}),
    ("/divide", {"x": 1, "y": 1, "z": 1}),
    *(("/compute", {"n": value}) for value in (-1, 31, 1.5, "1", True, None, 10**30)),
]


@pytest.mark.parametrize(("path", "body"), WRONG_VALUES)
async def test_a_value_of_another_type_or_size_is_refused(
    queued: Callable[[], int], client: httpx.AsyncClient, path: str, body: Any
) -> None:
    response = await client.post(path, json=body)
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"][0] == "body"
    assert await asyncio.to_thread(queued) == 0


def nested(depth: int, opened: str = '{"a":', closed: str = "}") -> str:
    return '{"a":' + opened * (depth - 1) + "1" + closed * (depth - 1) + "}"


REFUSED = [
    ('{"a": NaN}', 422, "finite"),
    ('{"a": [{"b": -Infinity}]}', 422, "finite"),
    ('{"a": 1e400}', 422, "finite"),
    (r'{"a": "\ud800"}', 422, "surrogates"),
    (r'{"\udfff": 1}', 422, "surrogates"),
    ('{"a": 9223372036854775808}', 422, "64 bits"),
    ('{"a": -9223372036854775809}', 422, "64 bits"),
    ('{"a": 1' + "0" * 5_000 + "}", 400, "body"),
    (nested(MAX_DEPTH), 422, "nested"),
    (nested(MAX_DEPTH, "[", "]"), 422, "nested"),
    (nested(10_000, "[", "]"), None, ""),  # CPython's reader gives up at another depth in each version
    ("[1]", 422, "dictionary"),
    ("null", 422, ""),
    ('"text"', 422, "dictionary"),
    ("{", 422, "JSON"),
    ("", 422, "required"),
    ("{'a': 1}", 422, "JSON"),
]


@pytest.mark.parametrize(("body", "status", "reason"), REFUSED)
async def test_what_is_not_plain_json_is_refused_with_a_reason(
    queued: Callable[[], int], client: httpx.AsyncClient, body: str, status: int | None, reason: str
) -> None:
    for path in JSON_PATHS:
        response = await client.post(path, content=body, headers=JSON)
        assert response.status_code == status or (status is None and response.status_code in (400, 422))
        assert reason in response.text
        assert response.json()["detail"]
    assert await asyncio.to_thread(queued) == 0


@pytest.mark.parametrize("body", [nested(MAX_DEPTH - 1), nested(MAX_DEPTH - 1, "[", "]")])
async def test_as_deep_as_is_allowed_is_accepted(client: httpx.AsyncClient, body: str) -> None:
    assert (await client.post("/process", content=body, headers=JSON)).status_code == 202


awkward = st.one_of(
    st.binary(max_size=200),
    objects.map(lambda value: json.dumps(value).encode()),
    values.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"x": values, "y": values}).map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"n": values}).map(lambda value: json.dumps(value).encode()),
    st.sampled_from([body.encode() for body, _, _ in REFUSED]),
)
headers = st.fixed_dictionaries(
    {"Content-Type": st.sampled_from(["application/json", "text/plain", "application/json; charset=utf-16", "x"])},
    optional={"Idempotency-Key": st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=140)},
)
paths = st.sampled_from([*JSON_PATHS, "/divide", "/compute", "/start-task", "/send-notification/x", "/nowhere"])


@settings(shared_application, max_examples=100)
@given(path=paths, body=awkward, headers=headers)
async def test_whatever_is_sent_is_accepted_or_refused_never_an_error(
    queued: Callable[[], int], client: httpx.AsyncClient, path: str, body: bytes, headers: dict[str, str]
) -> None:
    before = await asyncio.to_thread(queued)
    response = await client.post(path, content=body, headers=headers)
    new = await asyncio.to_thread(queued) - before
    if response.status_code == 202:
        assert new == 1 or (new == 0 and "Idempotency-Key" in headers)
    else:
        assert response.status_code in (400, 404, 409, 422), response.text
        assert response.json()["detail"]
        assert new == 0


async def test_a_whole_number_is_an_integer_however_it_is_written(client: httpx.AsyncClient) -> None:
    task_id = (await client.post("/compute", json={"n": 14.0})).raise_for_status().json()["task_id"]
    assert (await ended(client, task_id))["task_result"] == 377


async def test_task_ids_are_fresh(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post("/compute", json={"n": 0}) for _ in range(10)))
    assert len({answer.json()["task_id"] for answer in answers}) == 10


LIMIT = 100


@pytest.fixture
def tight(configure: Callable[..., Settings]) -> FastAPI:
    """An application that reads a hundred bytes."""
    return eager(configure(body_limit=LIMIT))


@pytest.mark.parametrize("path", [*JSON_PATHS, "/divide", "/start-task"])
async def test_a_body_over_the_limit_is_413(tight: FastAPI, serve: Serve, path: str) -> None:
    client = await serve(tight)
    body = b'{"a": "%s"}' % (b"x" * (LIMIT - 8))
    assert len(body) == LIMIT + 1
    response = await client.post(path, content=body, headers=JSON)
    assert (response.status_code, response.json()) == (413, {"detail": "the body is larger than 100 bytes"})
    assert (await client.get("/stats")).json()["jobs"] == {}
    exact = await client.post("/process", content=body.replace(b"x", b"", 1), headers=JSON)
    assert exact.status_code == 202


async def test_an_endless_body_is_not_read_to_its_end(tight: FastAPI, serve: Serve) -> None:
    client = await serve(tight)
    read = 0

    async def endless() -> Any:
        nonlocal read
        while True:
            read += 10
            yield b"x" * 10

    response = await client.post("/process", content=endless(), headers=JSON)
    assert response.status_code == 413
    assert read <= LIMIT + 20
