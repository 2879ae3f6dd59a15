"""What counts as an answer when a client asks for a status."""

from pathlib import Path

import httpx
import pytest

from brownout.history.view import History
from brownout.probes.recorder import Recorder
from brownout.subject.application import Application
from brownout.workload.client import HttpClient


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
