"""Which process publishes a message, and what the application's own store says of a job, are recorded for reports."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from celery import signals

from brownout.history.effects import sqlite_rows
from brownout.history.event import FOR_REPORTS
from brownout.history.view import History
from brownout.probes import publish_tap
from brownout.probes.recorder import Recorder
from brownout.run import records as module
from brownout.run.records import Records

QUERY = "SELECT id, state, note, tries AS 'outbox.tries' FROM jobs"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "history.ndjson"


@pytest.fixture
def tapped(history: Path) -> Iterator[None]:
    """This process publishes under the tap; afterwards the signals are as they were."""
    both = (signals.before_task_publish, signals.after_task_publish)
    kept = [list(signal.receivers) for signal in both]
    publish_tap.connect(Recorder(history, "api"))
    yield
    for signal, receivers in zip(both, kept, strict=True):
        signal.receivers = receivers


@pytest.mark.usefixtures("tapped")
def test_an_attempt_to_publish_is_told_before_the_broker_is_asked(history: Path) -> None:
    about = {"headers": {"id": "t-1", "task": "pay"}, "body": ("secret",), "routing_key": "celery"}
    signals.before_task_publish.send(sender="pay", **about)
    assert [(event.kind, event.task) for event in History.load(history)] == [("publish", "t-1")]
    signals.after_task_publish.send(sender="pay", **about)
    first, second = History.load(history)
    assert (second.kind, second.source, second.task) == ("published", "api", "t-1")
    assert first.data == {"name": "pay", "to": "celery"}
    assert "secret" not in history.read_text()


@pytest.mark.usefixtures("tapped")
def test_a_message_of_protocol_1_is_known_by_its_body(history: Path) -> None:
    body = {"id": "t-1", "task": "pay", "args": ["secret"]}
    signals.before_task_publish.send(sender="pay", headers={}, body=body, routing_key=None)
    signals.before_task_publish.send(sender="pay", headers=None, body=b"nothing is known of this message")
    (event,) = History.load(history)
    assert (event.task, event.data) == ("t-1", {"name": "pay", "to": ""})


def test_a_tapped_module_runs_as_with_python_m(
    tmp_path: Path, history: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "relay_like.py").write_text("import sys\nprint(__name__, sys.argv[1:])\nraise SystemExit(7)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["publish_tap.py", "relay_like", "--fast"])
    monkeypatch.delenv("BROWNOUT_HISTORY", raising=False)
    with pytest.raises(SystemExit) as ended:
        publish_tap.main()
    assert ended.value.code == 7
    assert capsys.readouterr().out == "__main__ ['--fast']\n"
    assert not history.exists()


def test_what_only_reports_read_is_no_part_of_an_operation(history: Path) -> None:
    recorder = Recorder(history, "client")
    recorder.record("invoke", key="op-1")
    recorder.record("ok", key="op-1", task="t-1")
    for kind in FOR_REPORTS:
        recorder.record(kind, task="t-1")
    loaded = History.load(history)
    assert [event.kind for event in loaded.ops["op-1"].events] == ["invoke", "ok"]
    assert {event.kind for event in loaded.by_task["t-1"]} == {"ok", *FOR_REPORTS}


# --- rows of the application's own store


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE jobs (id, state, note, tries)")
        connection.execute("INSERT INTO jobs VALUES ('t-1', 'PENDING', NULL, 3), ('t-2', 'SUCCESS', 'late', NULL)")
        yield connection


def told(tmp_path: Path, history: Path, query: str) -> list[tuple[str | None, dict[str, object]]]:
    recorder = Recorder(history, "store")
    Records(None, tmp_path, recorder, rows=sqlite_rows("app.db", query)).tell_rows()
    return [(event.task, dict(event.data)) for event in History.load(history).kind("row")]


@pytest.mark.usefixtures("database")
def test_each_row_is_told_with_its_named_fields(tmp_path: Path, history: Path) -> None:
    assert told(tmp_path, history, QUERY) == [
        ("t-1", {"state": "PENDING", "outbox.tries": 3}),
        ("t-2", {"state": "SUCCESS", "note": "late"}),
    ]


@pytest.mark.usefixtures("database")
def test_rows_that_cannot_be_read_are_told_and_end_no_trial(
    tmp_path: Path, history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WITHIN", 0.05)
    ((task, data),) = told(tmp_path, history, "SELECT id, colour FROM jobs")
    assert task is None
    assert "no such column: colour" in str(data["unreadable"])
