"""What an application's own store has accepted: told once each, and compared when everything is over."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from brownout.history.event import Event
from brownout.history.view import History
from brownout.probes.recorder import Recorder
from brownout.run import records as module
from brownout.run.records import Records
from brownout.subject.application import EffectReader


class Store:
    """Rows that come and go; each reader tells each of them once, as those of SQLite files do."""

    def __init__(self) -> None:
        self.rows: list[tuple[str | None, str | None]] = []
        self.locked = False

    def reader(self, _: Path) -> EffectReader:
        told = set[tuple[str | None, str | None]]()

        def read() -> Iterable[Event]:
            new = [row for row in self.rows if row not in told and not self.locked]
            told.update(new)
            return [Event(1, "store", "accepted", key, task) for key, task in new]

        return read


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.0)
    monkeypatch.setattr(module, "WITHIN", 0.05)


def told(tmp_path: Path, reader: Callable[[Path], EffectReader] | None, then: Callable[[], None]) -> list[str]:
    """What is recorded when the trial goes on with `then` after the first look."""
    recorder = Recorder(tmp_path / "history.ndjson", "store")
    records = Records(reader, tmp_path, recorder)
    for _ in range(2):
        records.look()
    then()
    records.compare()
    recorder.close()
    events = History.load(tmp_path / "history.ndjson").events if (tmp_path / "history.ndjson").exists() else ()
    return [f"{event.kind} {event.key}" for event in events]


def test_each_job_is_told_once_and_one_without_a_key_is_nobodys(tmp_path: Path) -> None:
    store = Store()
    store.rows = [("op-1", "t1"), (None, "t2"), ("op-3", None)]
    assert told(tmp_path, store.reader, lambda: None) == ["accepted op-1", "accepted op-3"]


def test_a_job_that_is_gone_was_withdrawn(tmp_path: Path) -> None:
    store = Store()
    store.rows = [("op-1", "t1"), ("op-2", "t2")]
    assert told(tmp_path, store.reader, lambda: store.rows.pop() and None)[2:] == ["withdrawn op-2"]


def test_a_store_that_tells_nothing_any_more_is_unreadable(tmp_path: Path) -> None:
    store = Store()
    store.rows = [("op-1", "t1")]
    assert told(tmp_path, store.reader, lambda: setattr(store, "locked", True))[1:] == ["unreadable None"]


def test_an_application_without_such_a_store_tells_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, None, lambda: None) == []
    assert told(tmp_path, Store().reader, lambda: None) == []
