"""What counts as an answer when a client asks for a status."""

from pathlib import Path

import httpx
import pytest

from brownout.history.view import History
from brownout.plan.operation import Http
from brownout.probes.recorder import Recorder
from brownout.subject.application import Application
from brownout.workload.client import HttpClient, task_of


@pytest.mark.parametrize(
    ("status", "body", "answered", "state"),
    [
        (200, {"task_status": "SUCCESS"}, True, "SUCCESS"),
        (404, {"detail": "unknown"}, True, None),
        (429, {"detail": "later"}, False, None),
        (500, "broken", True, None),
        (503, {"task_status": "STARTED"}, False, None),
        (200, "<html>", True, None),
        (200, ["SUCCESS"], True, None),
        (502, "<html>", False, None),
    ],
)
def test_an_error_is_no_status(tmp_path: Path, status: int, body: object, answered: bool, state: str | None) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/jobs/t1"
        return httpx.Response(status, text=body) if isinstance(body, str) else httpx.Response(status, json=body)

    recorder = Recorder(tmp_path / "history.ndjson", "client")
    client = HttpClient(Application(status="/jobs/{task}"), "127.0.0.1:1", recorder)
    client.close()
    client._http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://127.0.0.1:1")
    assert client.read("op-1", "t1") is answered
    client.close()
    recorder.close()
    path = tmp_path / "history.ndjson"
    events = History.load(path).events if path.exists() else ()
    assert [event.data["state"] for event in events] == ([state] if state else [])


@pytest.mark.parametrize(
    ("content", "location", "found"),
    [
        ({"task_id": "t1"}, "", ("t1", False)),
        ({"data": [{"job": {"task_id": "t1"}}], "id": 3}, "", ("t1", False)),
        ({"data": {"id": "inner"}, "id": 7}, "", ("7", True)),
        ({"data": {"jobId": "j"}}, "/jobs/9", ("j", True)),
        ({"id": None, "ok": True}, "http://h/jobs/9/?verbose=1", ("9", True)),
        ({"id": True}, "", (None, False)),
        ("accepted", "", (None, False)),
        (None, "", (None, False)),
    ],
)
def test_the_id_of_a_job_is_found_wherever_an_answer_has_it(
    content: object, location: str, found: tuple[str | None, bool]
) -> None:
    """The field that the application names is the task's id; any other is a guess, and may be an id of its own."""
    assert task_of(content, location, "task_id") == found


def test_a_request_says_whether_a_status_can_be_read_and_a_guess_is_marked(tmp_path: Path) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(201, text="", headers={"location": "/jobs/9"})

    recorder = Recorder(tmp_path / "history.ndjson", "client")
    client = HttpClient(Application(), "127.0.0.1:1", recorder)
    client.close()
    client._http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://127.0.0.1:1")
    client.call(Http("POST", "/jobs"), "op-1", 1, 0)
    client.close()
    recorder.close()
    invoke, ok = History.load(tmp_path / "history.ndjson").events
    assert invoke.data["result"] is False
    assert (ok.kind, ok.task, ok.data["guessed"]) == ("ok", "9", True)
