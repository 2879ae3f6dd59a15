"""What SQLite itself is told, and what its tables refuse, whatever the code above them does."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Table, insert
from sqlalchemy.exc import IntegrityError

from system.database import BUSY_MILLISECONDS, Database
from system.job import State
from system.settings import Settings
from system.tables import applied, jobs, outbox


@pytest.fixture
def database(config: Settings) -> Database:
    """With empty tables."""
    database = Database(config.database)
    database.create()
    return database


@pytest.mark.parametrize(
    ("name", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", BUSY_MILLISECONDS)],
)
def test_a_connection_is_safe(database: Database, name: str, value: object) -> None:
    """2 is FULL: a commit is on the disk."""
    with database.read() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() == value


def test_a_transaction_that_writes_has_the_lock_from_its_begin(database: Database, config: Settings) -> None:
    """Whoever reads first and writes later may fail with SQLITE_BUSY at once, whatever the time-out."""
    with database.write(), closing(sqlite3.connect(config.database, timeout=0)) as other:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("DELETE FROM seen")
        assert other.execute("SELECT 1 FROM seen").fetchall() == [], "and who reads does not wait"


def test_a_process_that_comes_second_waits_for_its_turn_to_switch_to_wal(config: Settings) -> None:
    """SQLite says BUSY at once, whatever its time-out, as long as somebody writes to a file that is not in WAL yet."""
    file = config.database
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as first:
        first.execute("CREATE TABLE other (x)")
        first.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as threads:
            second = threads.submit(Database(file).create)
            with pytest.raises(TimeoutError):
                second.result(0.3)
            first.execute("ROLLBACK")
            second.result(BUSY_MILLISECONDS / 1_000)


JOB = {"fingerprint": "f", "task": "t", "args": [], "state": State.PENDING, "accepted_at": 0.0}
REFUSED: list[tuple[str, Table, dict[str, Any], dict[str, Any]]] = [
    ("two jobs with one key", jobs, {"id": "1", "key": "k", **JOB}, {"id": "2", "key": "k", **JOB}),
    ("two jobs with one id", jobs, {"id": "1", **JOB}, {"id": "1", **JOB}),
    ("an effect whose key was applied", applied, {"key": "1", "at": 0.0}, {"key": "1", "at": 1.0}),
    ("an outbox entry without its job", jobs, {"id": "1", **JOB}, {}),
]


@pytest.mark.parametrize(("table", "first", "second"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_the_tables_refuse(database: Database, table: Table, first: dict[str, Any], second: dict[str, Any]) -> None:
    with database.write() as connection:
        connection.execute(insert(table).values(first))
    refused = insert(table).values(second) if second else insert(outbox).values(job_id="nobody", due=0.0)
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(refused)
