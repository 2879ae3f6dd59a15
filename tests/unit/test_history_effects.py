"""Readers of an application's own records: a ledger, and an SQLite file."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from brownout.history.effects import ledger, sqlite_accepted, sqlite_effects
from brownout.history.event import Event

EFFECTS = sqlite_effects("app.db", "SELECT id, task, name, at FROM effects WHERE id > ? ORDER BY id")
ACCEPTED = sqlite_accepted("app.db", "SELECT rowid, key, id, at FROM jobs WHERE rowid > ? ORDER BY rowid")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as connection:
        yield connection


def test_a_ledger_is_lines_of_json(tmp_path: Path) -> None:
    read = ledger("effects.ndjson")(tmp_path)
    assert read() == []
    lines = [{"at": 5, "task": "t1", "name": "charged", "order": 7}, {"at": 6, "key": "op-2", "name": "mailed"}]
    with (tmp_path / "effects.ndjson").open("ab", 0) as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines).encode() + b'{"at": 7, "ta')
    assert read() == [
        Event(5, "effects", "effect", task="t1", data={"name": "charged", "order": 7}),
        Event(6, "effects", "effect", "op-2", data={"name": "mailed"}),
    ]
    assert read() == []


def test_rows_of_effects_are_read_once_each(tmp_path: Path, database: sqlite3.Connection) -> None:
    read = EFFECTS(tmp_path)
    assert list(read()) == [], "the table is not there yet"
    database.execute("CREATE TABLE effects (id INTEGER PRIMARY KEY, task, name, at)")
    before, monotonic = time.time(), time.monotonic_ns()
    for n in (1, 2):
        database.execute("INSERT INTO effects VALUES (?, ?, 'charged', ?)", (n, f"t{n}", before + n))
        (event,) = read()
        assert (event.source, event.kind, event.task, event.data) == ("effects", "effect", f"t{n}", {"name": "charged"})
        assert abs(event.at - monotonic - n * 1e9) < 1e8, "on the clock of all witnesses"
    assert list(read()) == []


def test_rows_of_accepted_jobs_name_their_operation(tmp_path: Path, database: sqlite3.Connection) -> None:
    read = ACCEPTED(tmp_path)
    database.execute("CREATE TABLE jobs (id TEXT PRIMARY KEY, key, at)")
    database.executemany("INSERT INTO jobs VALUES (?, ?, ?)", [("t1", "op-1", 1.0), ("t2", None, 2.0)])
    told = [(event.source, event.kind, event.key, event.task) for event in read()]
    assert told == [("store", "accepted", "op-1", "t1"), ("store", "accepted", None, "t2")]
    assert list(read()) == []


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert list(EFFECTS(tmp_path)()) == list(ACCEPTED(tmp_path)()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_row_id_that_comes_again_is_another_row(tmp_path: Path, database: sqlite3.Connection) -> None:
    """With a key of text SQLite gives the highest row id again after its row was deleted."""
    read = ACCEPTED(tmp_path)
    database.execute("CREATE TABLE jobs (id TEXT PRIMARY KEY, key, at)")
    seen = []
    for task in ("t1", "t2", "t3"):
        database.execute("INSERT INTO jobs VALUES (?, 'op', 1.0)", (task,))
        seen += [event.task for event in read()]
        database.execute("UPDATE jobs SET at = 2.0")
        seen += [event.task for event in read()]
        if task != "t2":
            database.execute("DELETE FROM jobs WHERE id = ?", (task,))
    assert seen == ["t1", "t2", "t3"]


@pytest.mark.parametrize(
    ("row", "column"), [("(1, 't', 'charged', NULL)", "at"), ("(1, 't', 'charged', '12:30')", "at")]
)
def test_a_time_that_is_no_number_is_named(tmp_path: Path, database: sqlite3.Connection, row: str, column: str) -> None:
    database.execute("CREATE TABLE effects (id INTEGER PRIMARY KEY, task, name, at)")
    database.execute(f"INSERT INTO effects VALUES {row}")
    with pytest.raises(ValueError, match=rf"app\.db: row 1 has .* in column {column}, which must be a number"):
        list(EFFECTS(tmp_path)())


def test_a_row_id_that_is_no_number_is_named(tmp_path: Path, database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE effects (id TEXT, task, name, at)")
    database.execute("INSERT INTO effects VALUES ('e1', 't', 'charged', 1.0)")
    with pytest.raises(ValueError, match=r"app\.db: row e1 has 'e1' in column id"):
        list(EFFECTS(tmp_path)())
