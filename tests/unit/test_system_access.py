"""API keys: who has none is refused everywhere, and nobody sees or touches what is another owner's."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from system import exposure
from system.access import PROBES
from system.exposure import loopback, refuse_exposure
from system.factory import create_app
from system.job import Reason, Request
from system.rates import Rates
from system.settings import Settings
from tests.unit.conftest import Broker, Serve, answering, lifespan
from tests.unit.test_system_websocket import Browser

KEYS = {"alice": "alice-has-a-key-1", "bob": "bob-has-another-1"}
ALICE, BOB = ({"Authorization": f"Bearer {key}"} for key in KEYS.values())
WRONG: list[dict[str, str]] = [
    {}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "},
    {"Authorization": "Bearer alice"}, {"Authorization": f"Bearer {KEYS['alice']}x"},
    {"Authorization": f"Bearer {KEYS['alice'][:-1]}"}, {"Authorization": f"Basic {KEYS['alice']}"},
    {"Authorization": KEYS["alice"]}, {"Authorization": "Bearer \u00e9"}, {"X-Api-Key": KEYS["alice"]},
]  # fmt: skip


@pytest.fixture
def keyed(configure: Callable[..., Settings], broker: Broker) -> FastAPI:
    """An application with two owners, whose jobs wait in a broker."""
    app = create_app(configure(api_keys=KEYS, backlog_limit=6), ping=answering)
    broker.serve(app.state.services.celery)
    return app


async def submit(client: httpx.AsyncClient, headers: dict[str, str], **more: str) -> httpx.Response:
    """Ask for a job."""
    return await client.post("/process-data", json={"n": 1}, headers={**headers, **more})


@pytest.mark.asyncio
@pytest.mark.parametrize("headers", WRONG, ids=str)
async def test_without_a_key_everything_but_the_probes_is_refused(
    keyed: FastAPI, serve: Serve, headers: dict[str, str]
) -> None:
    client = await serve(keyed)
    await asyncio.to_thread(keyed.state.services.store.saw, "worker")
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    for path, item in keyed.openapi()["paths"].items():
        for method in item:
            answer = await client.request(method, path.replace("{email}", "a@b.c"), json={}, headers=encoded)
            if path in PROBES:
                assert answer.status_code == 200
                assert "security" not in item[method]
            else:
                assert answer.status_code == 401, f"{method} {path}"
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert item[method]["security"] == [{"ApiKey": []}]
                assert "401" in item[method]["responses"]
                assert "403" not in item[method]["responses"]
    for path in ("/docs", "/openapi.json"):
        assert (await client.get(path, headers=encoded)).status_code == 401
        assert (await client.get(path, headers=ALICE)).status_code == 404
    unread = await client.post("/process", content=b"{" * 10**6, headers=encoded)
    assert unread.status_code == 401, "a body is neither read nor parsed without a key"
    assert (await client.get("/stats", headers=ALICE)).json()["jobs"] == {}, "and nothing was recorded"


@pytest.mark.asyncio
async def test_a_websocket_without_a_key_is_not_accepted(keyed: FastAPI, serve: Serve) -> None:
    await serve(keyed)
    browser = Browser(keyed, "any")
    message = await browser.message()
    assert (message["type"], message["code"]) == ("websocket.close", 1008)


@pytest.mark.asyncio
async def test_a_foreign_job_is_answered_as_an_unknown_one(keyed: FastAPI, serve: Serve) -> None:
    client, store = await serve(keyed), keyed.state.services.store
    job_id = (await submit(client, ALICE)).json()["task_id"]

    def die() -> None:
        store.start(job_id, 1)
        store.fail(job_id, 1, ValueError("no"), Reason.RETRIES)

    paths = [("GET", "/task-status/{}"), ("GET", "/task-status/{}/stream"), ("POST", "/dead-letters/{}/redrive")]
    for step in (lambda: None, die):
        await asyncio.to_thread(step)
        for method, path in paths:
            foreign = await client.request(method, path.format(job_id), headers=BOB)
            unknown = await client.request(method, path.format("unknown"), headers=BOB)
            assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content)
            assert foreign.status_code == 404
        browser = Browser(keyed, job_id, BOB)
        assert (await browser.message())["type"] == "websocket.accept"
        assert await browser.closed() == 4404, "as for an unknown job"
    assert (await client.get("/dead-letters", headers=BOB)).json()["dead_letters"] == []
    assert [
        letter["task_id"] for letter in (await client.get("/dead-letters", headers=ALICE)).json()["dead_letters"]
    ] == [job_id]
    assert (await client.get(f"/task-status/{job_id}", headers=ALICE)).json()["task_status"] == "FAILURE"
    assert (await client.get(f"/task-status/{job_id}/stream", headers=ALICE)).text.count("data: ") == 1
    assert (await client.post(f"/dead-letters/{job_id}/redrive", headers=ALICE)).status_code == 202


@pytest.mark.asyncio
async def test_each_owner_has_idempotency_keys_of_its_own(keyed: FastAPI, serve: Serve) -> None:
    client, key = await serve(keyed), {"Idempotency-Key": "k"}
    first, again, other = [(await submit(client, who, **key)).json()["task_id"] for who in (ALICE, ALICE, BOB)]
    assert first == again != other
    reused = await client.post("/process-data", json={"n": 2}, headers={**BOB, **key})
    assert reused.status_code == 409


@pytest.mark.asyncio
async def test_an_owner_can_not_take_the_room_of_another(keyed: FastAPI, serve: Serve) -> None:
    client = await serve(keyed)
    answers = [(await submit(client, ALICE)).status_code for _ in range(5)]
    assert answers == [202, 202, 202, 503, 503], "three of six are each owner's"
    assert [(await submit(client, BOB)).status_code for _ in range(3)] == [202] * 3


@pytest.mark.asyncio
async def test_an_owner_that_submits_too_often_is_told_when_to_come_back(
    configure: Callable[..., Settings], serve: Serve, broker: Broker
) -> None:
    app = create_app(configure(api_keys=KEYS, rate_limit=0.001), ping=answering)
    broker.serve(app.state.services.celery)
    client = await serve(app)
    assert (await submit(client, ALICE)).status_code == 202
    refused = await submit(client, ALICE)
    assert (refused.status_code, int(refused.headers["Retry-After"])) == (429, 1_000)
    assert (await client.post("/dead-letters/x/redrive", headers=ALICE)).status_code == 429
    assert (await client.get("/task-status/x", headers=ALICE)).status_code == 404, "who asks is not limited"
    assert (await submit(client, BOB)).status_code == 202


def test_a_bucket_holds_a_second_and_fills_with_time() -> None:
    at = 100.0
    rates = Rates(2.0, lambda: at)
    assert [rates.take("a") for _ in range(3)] == [0, 0, 0.5]
    at += 0.5
    assert [rates.take("a"), rates.take("a")] == [0, 0.5]
    at += 1_000
    assert [rates.take("a") for _ in range(3)] == [0, 0, 0.5]
    assert rates.take("b") == 0


@pytest.mark.parametrize(
    "keys", [{"alice": "short"}, {"al/ice": "x" * 16}, {"": "x" * 16}, {"a": "x" * 16, "b": "x" * 16}], ids=str
)
def test_a_weak_or_ambiguous_key_is_refused(configure: Callable[..., Settings], keys: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="api_keys") as caught:
        configure(api_keys=keys)
    assert "x" * 16 not in str(caught.value)


def test_a_key_is_shown_nowhere(configure: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEM_API_KEYS", f'{{"alice": "{KEYS["alice"]}"}}')
    read = Settings(_env_file=None)
    assert read.api_keys["alice"].get_secret_value() == KEYS["alice"]
    for shown in (repr(read), str(read), read.model_dump_json(), repr(read.model_dump())):
        assert KEYS["alice"] not in shown


LOCAL = ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "localhost", "api.localhost"]
ELSEWHERE = [
    "0.0.0.0",
    "::",
    "10.0.0.7",
    "192.168.1.2",
    "::ffff:10.0.0.7",
    "fe80::1%eth0",
    "example.org",
    "localhost.example.org",
    "",
]


@pytest.mark.parametrize(("host", "local"), [*((host, True) for host in LOCAL), *((host, False) for host in ELSEWHERE)])
def test_what_is_reached_from_this_machine_only(host: str, local: bool) -> None:
    assert loopback(host) == local


@pytest.mark.asyncio
async def test_without_keys_a_process_that_listens_for_others_does_not_start(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposure, "listening", lambda: ["127.0.0.1", "10.0.0.7"])
    with pytest.raises(RuntimeError, match="may listen on a loopback address only"):
        refuse_exposure()
    with pytest.raises(AssertionError, match=r"startup\.failed"):
        async with lifespan(app):
            pass


@pytest.mark.asyncio
async def test_with_keys_a_process_may_listen_for_others(
    keyed: FastAPI, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exposure, "listening", lambda: ["10.0.0.7"])
    client = await serve(keyed)
    headers = {**ALICE, "Host": "example.org", "Origin": "https://example.org"}
    assert (await client.get("/stats", headers=headers)).status_code == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "example.org"}, {"Host": "example.org:8000"}, {"Host": "10.0.0.7"}, {"Host": ""},
        {"Origin": "https://example.org"}, {"Origin": "null"}, {"Origin": "http://localhost.example.org"},
    ],
    ids=str,
)  # fmt: skip
async def test_without_keys_no_page_of_another_site_gets_at_the_api(
    client: httpx.AsyncClient, app: FastAPI, headers: dict[str, str]
) -> None:
    """A form that a page sends by itself, and a name of the page's that leads to this machine (DNS rebinding)."""
    for method, path in (("POST", "/start-task"), ("GET", "/stats")):
        assert (await client.request(method, path, headers=headers)).status_code == 403
    assert (await client.get("/stats")).json()["jobs"] == {}


@pytest.mark.asyncio
async def test_without_keys_the_pages_of_this_machine_may(client: httpx.AsyncClient) -> None:
    for host, origin in (("127.0.0.1:8000", "http://localhost:3000"), ("[::1]:8000", "http://[::1]")):
        assert (await client.get("/stats", headers={"Host": host, "Origin": origin})).status_code == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_without_keys_a_connection_from_elsewhere_is_refused(app: FastAPI, kind: str) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    scope = {"type": kind, "method": "GET", "path": "/", "query_string": b"", "headers": [], "server": ("10.0.0.7", 80)}
    await app(scope, receive, send)
    assert sent[0].get("status", sent[0].get("code")) == (403 if kind == "http" else 1008)


def test_an_owner_has_the_whole_backlog_when_it_is_alone(configure: Callable[..., Settings]) -> None:
    assert configure().owner_backlog == configure().backlog_limit
    assert configure(api_keys=KEYS, backlog_limit=1).owner_backlog == 1
    assert Request("t", (), "k").own_key == "k"
