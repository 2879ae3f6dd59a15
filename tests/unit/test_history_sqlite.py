"""Effects in an SQLite file are seen soon after their commit, and the file is not opened while nothing changes."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from brownout.history import effects
from brownout.history.effects import sqlite_effects
from brownout.history.event import Event
from brownout.subject.waiting import eventually

QUERY = "SELECT rowid, task, name, at FROM effects WHERE rowid > ? ORDER BY rowid"
Read = Callable[[], Iterable[Event]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return sqlite_effects("app.db", QUERY)(tmp_path)


@pytest.fixture(params=["wal", "delete"])
def database(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={request.param}")
        yield connection


def do(database: sqlite3.Connection, *tasks: str) -> None:
    for task in tasks:
        database.execute("INSERT INTO effects VALUES (?, 'mail', ?)", (task, time.time()))


def test_without_a_file_there_is_nothing(read: Read) -> None:
    assert list(read()) == []


def test_a_table_that_comes_later_is_read(read: Read, database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE other (x)")
    assert list(read()) == []
    database.execute("CREATE TABLE effects (task, name, at)")
    do(database, "a")
    assert [event.task for event in read()] == ["a"]


def test_each_effect_comes_once_however_close_the_commits_are(read: Read, database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE effects (task, name, at)")
    tasks, seen = [f"task-{n}" for n in range(200)], list[str]()

    def look() -> bool:
        seen.extend(str(event.task) for event in read())
        return seen == tasks

    for task in tasks:
        do(database, task)
        look()
    eventually(look, within=10, what="all are seen", evidence=lambda: str(seen[-3:]))


def test_a_commit_after_a_long_quiet_is_seen_at_the_next_look(
    read: Read, database: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute("CREATE TABLE effects (task, name, at)")
    monkeypatch.setattr(effects._Changes, "LONGEST", 1e9)
    do(database, "a")
    assert [event.task for event in read()] == ["a"]
    opened = list[str]()
    real = sqlite3.connect

    def connect(database: str, **more: Any) -> sqlite3.Connection:
        opened.append(database)
        found: sqlite3.Connection = real(database, **more)
        return found

    def rests() -> bool:
        opened.clear()
        return not list(read()) and not opened

    monkeypatch.setattr(sqlite3, "connect", connect)
    eventually(rests, within=10, what="the file is left alone", evidence=lambda: str(opened))
    do(database, "b")
    assert [event.task for event in read()] == ["b"]
    assert len(opened) == 1
