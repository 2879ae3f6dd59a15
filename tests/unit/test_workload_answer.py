"""Where an API's answer has an id and a state, and which task belongs to a request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery, signals
from fastapi import FastAPI

from brownout.history.event import Event
from brownout.history.life import OPERATION, WARM, Life
from brownout.history.view import History
from brownout.plan.operation import Http
from brownout.probes import publish_tap
from brownout.probes.api_tap import tap
from brownout.probes.recorder import Recorder
from brownout.subject.application import Application
from brownout.workload.answer import state_in, task_of
from brownout.workload.client import HttpClient

SIGNALS = (signals.before_task_publish, signals.after_task_publish)


@pytest.mark.parametrize(
    ("content", "location", "found"),
    [
        ({"task_id": "a", "id": "b"}, "", "a"),
        ({"job": {"id": 7}}, "", "7"),
        ({"data": [{"task_id": "deep"}], "id": "shallow"}, "", "deep"),
        ({"id": "near", "data": {"id": "far"}}, "", "near"),
        ({"mine": "own", "task_id": "a"}, "", "own"),
        ({"id": None, "uuid": "u"}, "", "u"),
        ({"id": True}, "", None),
        ({"message": "queued"}, "/jobs/8/state", "8"),
        (None, "http://shop.example/jobs/9/state?x=1", "9"),
        (None, "/other/10", "10"),
        (["x"], "", None),
        ("text", "/", None),
    ],
)
def test_the_id(content: object, location: str, found: str | None) -> None:
    assert task_of(content, location, "mine", "/jobs/{task}/state")[0] == found


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"mine": "anything", "status": "SUCCESS"}, "anything"),
        ({"status": "ok", "data": {"state": "started"}}, "started"),
        ({"data": {"task_status": "SUCCESS"}, "status": "PENDING"}, "SUCCESS"),
        ({"status": "completed"}, "completed"),
        ({"status": "who knows"}, None),
        ({"status": 3}, None),
    ],
)
def test_the_state(content: dict[str, Any], found: str | None) -> None:
    assert state_in(content, "mine") == found


def sent(tmp_path: Path, application: Application, operation: Http, answer: httpx.Response) -> tuple[Any, list[Event]]:
    """What a client sends, and the events that it records."""
    tmp_path.mkdir(exist_ok=True)
    requests: list[httpx.Request] = []

    def answering(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return answer

    recorder = Recorder(tmp_path / "history.ndjson", "client")
    client = HttpClient(application, "127.0.0.1:1", recorder)
    client.close()
    client.tells_unread = True
    client._http = httpx.Client(transport=httpx.MockTransport(answering), base_url="http://127.0.0.1:1")
    client.call(operation, OPERATION, 4, 0)
    client.read(OPERATION, OPERATION)
    client.close()
    recorder.close()
    return requests, list(History.load(tmp_path / "history.ndjson"))


def test_a_form_and_headers_are_sent(tmp_path: Path) -> None:
    operation = Http("PUT", "/tasks/{n}", headers={"X-Key": "{key}"}, form={"a": "{n}"})
    requests, _ = sent(tmp_path, Application(), operation, httpx.Response(202, json={}))
    (request,) = requests
    assert (request.method, request.url.path, request.content) == ("PUT", "/tasks/4", b"a=4")
    assert request.headers["x-key"] == request.headers["idempotency-key"] == OPERATION


def test_an_answer_without_an_id_is_told(tmp_path: Path) -> None:
    """Nobody can ask for the status then. Where there is no status to ask for, nothing is missing."""
    operation, answer = Http("POST", "/tasks"), httpx.Response(202, json={})
    _, (_, ok, end, *_) = sent(tmp_path / "status", Application(status="/s/{task}"), operation, answer)
    assert (ok.kind, ok.task) == ("ok", None)
    assert (end.kind, end.data["error"]) == ("unread", "POST /tasks was answered without an id: {}")
    _, events = sent(tmp_path / "none", Application(), operation, answer)
    assert [event.kind for event in events] == ["invoke", "ok"]


def test_a_status_that_is_asked_for_by_the_key(tmp_path: Path) -> None:
    application = Application(status="/s/{key}")
    requests, events = sent(tmp_path, application, Http("POST", "/tasks"), httpx.Response(200, json={"state": "DONE"}))
    assert requests[1].url.path == f"/s/{OPERATION}"
    assert [(event.kind, event.task) for event in events[1:]] == [("ok", OPERATION), ("read", OPERATION)]
    assert events[-1].data["state"] == "DONE"


def life(task: str, *published: str) -> Life:
    """An accepted request whose answer has this id, a warm-up before it, and three tasks that ended."""
    events = [
        Event(1, "api", "publish", WARM, "warm-task"),
        Event(2, "client", "ok", WARM, "1", data={"op": "http"}),
        Event(3, "client", "invoke", OPERATION, data={"op": "http"}),
        *(Event(4, "api", "publish", OPERATION, one) for one in published),
        Event(5, "client", "ok", OPERATION, task, data={"op": "http"}),
        *(
            Event(6, "worker-1", "ended", task=one, data={"state": "SUCCESS"})
            for one in ("warm-task", "first", "second")
        ),
    ]
    return Life.of(events, by_effect=False)


@pytest.mark.parametrize(
    ("told", "published", "own"),
    [
        ("first", [], ["first"]),
        ("second", ["first", "second"], ["second"]),  # the API tells the id of a task that it published
        ("7", ["first", "second"], ["first"]),  # an id of its own
        ("7", [], []),
    ],
)
def test_the_task_of_a_request(told: str, published: list[str], own: list[str]) -> None:
    assert [event.task for event in life(told, *published).own] == own
    assert life("7").done(WARM)


def served(app: FastAPI, path: Path, *requests: tuple[str, str]) -> list[Event]:
    """The events of an application behind the tap that is asked under these keys."""
    recorder = Recorder(path, "api")
    kept = [(signal, list(signal.receivers)) for signal in SIGNALS]
    publish_tap.connect(recorder)

    async def ask() -> None:
        transport = httpx.ASGITransport(app=tap(app, recorder))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for url, key in requests:
                answer = await client.post(url, headers={"Idempotency-Key": key} if key else {})
                assert answer.status_code == 200, answer.text

    try:
        asyncio.run(ask())
    finally:
        for signal, receivers in kept:
            signal.receivers = receivers
        recorder.close()
    return list(History.load(path))


def test_the_tap_tells_which_task_was_published_for_which_request(tmp_path: Path) -> None:
    """From a coroutine, from FastAPI's threads and from a thread of the route's own; without a key none is told."""
    celery = Celery("tapped", broker="memory://", set_as_current=False)
    app = FastAPI()

    @app.post("/coroutine")
    async def coroutine() -> None:
        celery.send_task("one", task_id="t1")

    @app.post("/thread")
    def thread() -> None:
        celery.send_task("two", task_id="t2")

    @app.post("/to-thread")
    async def to_thread() -> None:
        await asyncio.to_thread(celery.send_task, "three", task_id="t3")

    asked = [("/coroutine", "a"), ("/thread", "b"), ("/to-thread", "c"), ("/coroutine", "")]
    events = served(app, tmp_path / "history.ndjson", *asked)
    tasks = [("a", "t1"), ("b", "t2"), ("c", "t3"), (None, "t1")]
    assert [(event.kind, event.key, event.task) for event in events] == [
        (kind, key, task) for key, task in tasks for kind in ("publish", "published")
    ]
