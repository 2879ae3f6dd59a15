"""Server-sent events of a job, spoken to as a server does: what is sent, what is missed and made up for, what ends."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import TimeoutError as NoConnection

from system import streams
from system.factory import at_shutdown
from system.job import Request, State
from system.settings import Settings
from system.store import Store
from system.watch import Watch
from tests.unit.conftest import Serve, eager

pytestmark = pytest.mark.asyncio


class Client:
    """One connection to the stream of a job. It takes nothing while `reads` is not set."""

    def __init__(self, app: FastAPI, job_id: str, last: str | None = None) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self.left = asyncio.Event()
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        headers = [] if last is None else [(b"last-event-id", last.encode())]
        path = f"/task-status/{job_id}/stream"
        scope = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": headers, "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        }  # fmt: skip
        self._asked = False
        self.running = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        self._sent.put_nowait(message)

    async def status(self) -> int:
        """The status of the answer."""
        start = await asyncio.wait_for(self._sent.get(), 10)
        assert start["type"] == "http.response.start"
        self.headers = dict(start["headers"])
        status: int = start["status"]
        return status

    async def chunk(self) -> str:
        """What the server sends next; empty at the end."""
        message = await asyncio.wait_for(self._sent.get(), 10)
        text: str = message.get("body", b"").decode()
        return text

    async def event(self) -> tuple[str, dict[str, Any]] | None:
        """The next event, as its id and its data; None at the end. Comments are left out."""
        while chunk := await self.chunk():
            found = re.fullmatch(r"data: (.*)\nid: (.*)\n\n", chunk)
            if found:
                return found[2], json.loads(found[1])
        return None

    async def states(self) -> list[tuple[str, str]]:
        """All events that are left, as ids and states."""
        found = []
        while event := await self.event():
            found.append((event[0], event[1]["task_status"]))
        return found


Listen = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def store(app: FastAPI) -> Store:
    """The application's job store."""
    store: Store = app.state.services.store
    return store


@pytest.fixture
def job_id(store: Store) -> str:
    """A job that nobody runs."""
    store.create()
    return store.accept(Request("t", ()))[0].id


@pytest.fixture
def listen(app: FastAPI) -> Listen:
    """Open a stream."""

    @asynccontextmanager
    async def listen(job_id: str, last: str | None = None) -> AsyncIterator[Client]:
        client = Client(app, job_id, last)
        try:
            yield client
        finally:
            client.running.cancel()
            await asyncio.wait([client.running])

    return listen


async def gone(app: FastAPI) -> None:
    """Wait until this application has no listener."""
    watch: Watch = app.state.services.watch
    async with asyncio.timeout(10):
        if watch._polling is not None:
            await watch._polling  # it ends with the last listener
    assert watch._listeners == {}


async def test_every_change_comes_in_order_until_the_end(
    app: FastAPI, serve: Serve, listen: Listen, store: Store, job_id: str
) -> None:
    await serve(app)
    seen = []
    async with listen(job_id) as client:
        assert await client.status() == 200
        assert client.headers[b"content-type"].startswith(b"text/event-stream")
        for step in (
            lambda: None,
            lambda: store.start(job_id, 1),
            lambda: store.retry(job_id, 1, 0),
            lambda: store.start(job_id, 2),
            lambda: store.finish(job_id, "t", 0.5),
        ):
            await asyncio.to_thread(step)
            seen.append(await client.event())
        assert await client.event() is None
        await asyncio.wait_for(client.running, 5)
    assert [event and (event[0], event[1]["task_status"]) for event in seen] == [
        ("0.0", "PENDING"), ("1.1", "STARTED"), ("2.0", "RETRY"), ("2.1", "STARTED"), ("2.2", "SUCCESS"),
    ]  # fmt: skip
    assert seen[-1] is not None
    assert (seen[-1][1]["task_id"], seen[-1][1]["task_result"]) == (job_id, 0.5)
    await gone(app)


@pytest.mark.parametrize(
    ("last", "missed"),
    [
        (None, ["2.2"]), ("0.0", ["2.2"]), ("2.1", ["2.2"]), ("nonsense", ["2.2"]), ("-1.1", ["2.2"]), ("", ["2.2"]),
        ("2.2", None), ("3.0", None),
    ],
)  # fmt: skip
async def test_who_comes_back_gets_the_end_once(
    app: FastAPI, serve: Serve, listen: Listen, store: Store, job_id: str, last: str | None, missed: list[str] | None
) -> None:
    await serve(app)
    await asyncio.to_thread(store.start, job_id, 2)
    await asyncio.to_thread(store.fail, job_id, 2, ValueError("why"))
    async with listen(job_id, last) as client:
        assert await client.status() == (204 if missed is None else 200), "204 tells a browser not to come back"
        assert [event for event, _ in await client.states()] == (missed or [])


async def test_who_comes_back_in_the_middle_gets_what_is_new(
    app: FastAPI, serve: Serve, listen: Listen, store: Store, job_id: str
) -> None:
    await serve(app)
    async with listen(job_id) as client:
        await client.status()
        assert await client.event()
        client.left.set()
        await asyncio.wait_for(client.running, 5)
    await asyncio.to_thread(store.start, job_id, 1)
    async with listen(job_id, "0.0") as client:
        await client.status()
        event = await client.event()
        assert event is not None
        assert event[0] == "1.1"
    async with listen(job_id, "1.1") as client:
        await client.status()
        await asyncio.to_thread(store.finish, job_id, "t", 1)
        assert await client.states() == [("1.2", "SUCCESS")], "what it has seen is not sent again"


async def test_a_job_that_is_driven_again_is_later_than_its_end(
    app: FastAPI, serve: Serve, listen: Listen, store: Store, job_id: str
) -> None:
    await serve(app)
    for _ in range(11):
        await asyncio.to_thread(store.unknown, job_id)
    async with listen(job_id) as client:
        await client.status()
        ((last, state),) = await client.states()
    assert state == "FAILURE"
    await asyncio.to_thread(store.dead_letters.redrive, "local", job_id)
    async with listen(job_id, last) as client:
        assert await client.status() == 200
        event = await client.event()
        assert event is not None
        assert event[1]["task_status"] == "PENDING"


async def test_an_unknown_job_is_404(app: FastAPI, serve: Serve, listen: Listen) -> None:
    await serve(app)
    for unknown in ("unknown", "\0"):
        async with listen(unknown) as client:
            assert await client.status() == 404
    await gone(app)


async def test_a_thousand_listeners_are_one_query_a_tick(
    app: FastAPI, serve: Serve, store: Store, config: Settings
) -> None:
    """The ticks of the poller are counted, and the statements that the database gets meanwhile."""
    await asyncio.to_thread(store.create)
    jobs = await asyncio.to_thread(lambda: [store.accept(Request("t", (n,)))[0].id for n in range(100)])
    await serve(app)
    watch, statements, ticks = app.state.services.watch, list[str](), 0
    tick = watch._tick

    async def counted(watched: Any) -> None:
        nonlocal ticks
        ticks += 1
        await tick(watched)

    watch._tick = counted

    def executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", executed)
    try:
        clients = [Client(app, job_id) for job_id in jobs for _ in range(10)]
        assert [await client.status() for client in clients] == [200] * 1_000
        firsts = [await client.event() for client in clients]
        assert [first and first[1]["task_status"] for first in firsts] == ["PENDING"] * 1_000
        await asyncio.to_thread(lambda: [store.finish(job_id, "t", 1) for job_id in jobs])
        ends = [await client.states() for client in clients]
        await asyncio.wait([client.running for client in clients])
    finally:
        event.remove(Engine, "before_cursor_execute", executed)
    assert ends == [[("0.2", "SUCCESS")]] * 1_000
    asked = [statement for statement in statements if "jobs.id IN" in statement]
    assert 2 <= len(asked) == ticks
    own = len(statements) - len(jobs)  # each `finish` looks at its job
    assert own == ticks, "and nothing else is asked, also for a stream that begins or ends"
    await gone(app)


async def test_a_client_that_reads_nothing_is_dropped(
    app: FastAPI, serve: Serve, listen: Listen, store: Store, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SEND_SECONDS", 0.05)
    await serve(app)
    async with listen(job_id) as client:
        await client.status()
        assert await client.event()
        client.reads.clear()
        await asyncio.to_thread(store.start, job_id, 1)
        done, _ = await asyncio.wait([client.running], timeout=10)
        assert done, "the stream ends"
    await gone(app)


async def test_a_silent_stream_is_kept_alive_and_ends_after_its_life(
    app: FastAPI, serve: Serve, listen: Listen, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that vanished without a word is not known from one that is silent; one that is there comes back."""
    monkeypatch.setattr(streams, "PING_SECONDS", 0.05)
    monkeypatch.setattr(streams, "LIFE_SECONDS", 1.0)
    await serve(app)
    async with listen(job_id) as client:
        await client.status()
        assert await client.chunk() == "retry: 1000\n\n"
        assert await client.event()
        chunks = []
        async with asyncio.timeout(20):
            while chunk := await client.chunk():
                chunks.append(chunk)
        assert set(chunks) == {": ping\n\n"}
        await asyncio.wait_for(client.running, 5)
    await gone(app)


async def test_an_outage_of_the_store_ends_no_stream(
    app: FastAPI, serve: Serve, listen: Listen, store: Store, job_id: str
) -> None:
    await serve(app)
    watch = app.state.services.watch
    read, failed = watch._read, asyncio.Event()

    async def broken(_job_ids: Any) -> Any:
        failed.set()
        raise NoConnection("none is free")

    async with listen(job_id) as client:
        await client.status()
        assert await client.event()
        watch._read = broken
        await asyncio.wait_for(failed.wait(), 5)
        async with listen(job_id) as late:
            assert await late.status() == 503
        watch._read = read
        await asyncio.to_thread(store.start, job_id, 1)
        event = await client.event()
        assert event is not None
        assert event[1]["task_status"] == State.STARTED


async def test_listeners_are_bounded(configure: Callable[..., Settings], serve: Serve, listen: Listen) -> None:
    app = eager(configure(listener_limit=1))
    http = await serve(app)
    job_id = await asyncio.to_thread(lambda: app.state.services.store.accept(Request("t", ()))[0].id)
    client = Client(app, job_id)
    assert await client.status() == 200
    assert (await http.get(f"/task-status/{job_id}/stream")).status_code == 503
    client.left.set()
    await asyncio.wait_for(client.running, 5)
    await asyncio.to_thread(app.state.services.store.finish, job_id, "t", 1)
    assert (await http.get(f"/task-status/{job_id}/stream")).status_code == 200, "there is room again"


async def test_a_signal_ends_the_streams_and_reaches_the_servers_handler(
    app: FastAPI, serve: Serve, listen: Listen, job_id: str
) -> None:
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: got.append(number))
    try:
        await serve(app)
        async with listen(job_id) as client:
            await client.status()
            assert await client.event()
            signal.raise_signal(signal.SIGTERM)
            assert await client.states() == []
            await asyncio.wait_for(client.running, 5)
        async with listen(job_id) as client:
            assert await client.status() == 503, "the process shuts down"
        assert got == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_process_without_a_servers_handler_dies_as_before() -> None:
    given: dict[signal.Signals, Any] = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in given.items()}
    try:
        with at_shutdown(lambda: None):
            assert {number: signal.getsignal(number) for number in given} == given
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
