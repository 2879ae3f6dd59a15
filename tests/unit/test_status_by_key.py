"""Where no id of a job is known, its status is read by the key, and the reports say so."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from brownout.explore.experiment import DEFAULTS, Experiment, Workload, remarks_of
from brownout.history.view import History
from brownout.plan.operation import Http
from brownout.probes.recorder import Recorder
from brownout.report.facts.whereabouts import Whereabouts
from brownout.report.text.place import placed
from brownout.subject.application import Application
from brownout.workload.client import HttpClient

KEYED = "/jobs?key={key}"
SENTENCE = "the status was judged by the key"


@pytest.mark.parametrize(("status", "by"), [("/jobs/{task}", None), ("/jobs/{id}", None), (KEYED, "key")])
def test_a_read_by_the_key_is_recorded_as_one(tmp_path: Path, status: str, by: str | None) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"task_status": "SUCCESS"})

    recorder = Recorder(tmp_path / "history.ndjson", "client")
    client = HttpClient(Application(status=status), "127.0.0.1:1", recorder)
    client.close()
    client._http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://127.0.0.1:1")
    assert client.read("op-1", "op-1")
    client.close()
    recorder.close()
    (read,) = History.load(tmp_path / "history.ndjson").kind("read")
    assert read.data.get("by") == by


@pytest.mark.parametrize("by_key", [True, False])
def test_the_report_of_a_failure_says_so(by_key: bool) -> None:
    where = Whereabouts("op-1", "op-1", 2, status="SUCCESS", status_at=1, by_key=by_key)
    (line,) = (line for line in placed(where, 0) if line.startswith("status"))
    assert (SENTENCE in line) is by_key


@pytest.mark.parametrize(("status", "said"), [(KEYED, True), ("/jobs/{id}", False), (None, False)])
def test_the_first_lines_of_a_map_say_so(status: str | None, said: bool) -> None:
    application = Application(celery="shop", api="shop:app", status=status)
    request = Workload("http", "a job", http=Http("POST", "/jobs"))
    made = Experiment(application, Path(), DEFAULTS, request, "")
    assert any(remark.startswith(SENTENCE) for remark in remarks_of(made, {})) is said
