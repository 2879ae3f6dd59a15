"""What SQLite itself is told, and what its tables refuse, whatever the code above them does."""

import ast
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Table, insert, select
from sqlalchemy.exc import IntegrityError

from system import engines
from system.database import Database
from system.engines import WAIT_SECONDS
from system.job import State
from system.settings import Settings
from system.store import Unusable
from system.tables import applied, jobs, outbox


@pytest.fixture
def database(config: Settings) -> Iterator[Database]:
    """With empty tables."""
    database = Database(config.store_url)
    database.create()
    yield database
    database.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", WAIT_SECONDS * 1_000)],
)
def test_a_connection_is_safe(database: Database, name: str, value: object) -> None:
    """2 is FULL: a commit is on the disk. Also when the connection was used for a transaction that is not synced."""
    with database.write(synced=False) as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 1
    with database.write() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() == value


def test_a_transaction_that_writes_has_the_lock_from_its_begin(database: Database, config: Settings) -> None:
    """Whoever reads first and writes later may fail with SQLITE_BUSY at once, whatever the time-out."""
    with database.write(), closing(sqlite3.connect(config.database, timeout=0)) as other:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("DELETE FROM seen")
        assert other.execute("SELECT 1 FROM seen").fetchall() == [], "and who reads does not wait"


def time_until(freed: Callable[[], object], pauses: list[float], looks: int = 50) -> SimpleNamespace:
    """A `time` whose sleeps take no time, and which calls `freed` in the last of these looks."""

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == looks:
            freed()

    return SimpleNamespace(sleep=sleep, monotonic=time.monotonic)


def test_whoever_waits_for_the_lock_looks_often(
    database: Database, config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that write in turn hold the lock for a millisecond; SQLite's own time-out soon sleeps for 25."""
    pauses: list[float] = []
    with closing(sqlite3.connect(config.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(engines, "time", time_until(lambda: other.execute("ROLLBACK"), pauses))
        with database.write() as connection:
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == WAIT_SECONDS * 1_000
    assert len(pauses) == 50
    assert pauses[0] <= 0.001
    assert max(pauses) <= 0.01


def test_whoever_does_not_get_the_lock_in_time_is_told_so(
    database: Database, config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is what was slept: a process that was stopped keeps its turn."""
    pauses: list[float] = []
    with closing(sqlite3.connect(config.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(engines, "time", time_until(lambda: None, pauses))
        with pytest.raises(Unusable, match="locked"), database.write():
            pass
    assert sum(pauses[:-1]) < WAIT_SECONDS <= sum(pauses)
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == WAIT_SECONDS * 1_000


def test_a_file_that_is_damaged_in_use_can_not_be_used() -> None:
    """SQLite's own error is none that the API and the relay know."""
    asked: list[str] = []

    def execute(words: str) -> None:
        asked.append(words)
        if words == "BEGIN IMMEDIATE":
            raise sqlite3.DatabaseError("file is not a database")

    raw = SimpleNamespace(driver_connection=SimpleNamespace(execute=execute))
    connection: Any = SimpleNamespace(connection=raw, get_execution_options=dict)
    with pytest.raises(Unusable, match="not a database"):
        engines._begin_immediate(connection)
    assert asked.count("BEGIN IMMEDIATE") == 1
    assert (asked[0], asked[-1]) == ("PRAGMA busy_timeout = 0", engines.BUSY_TIMEOUT), "SQLite does not wait meanwhile"


#: What was published, and which processes are alive. After a power loss a job may be published once more.
NOT_SYNCED = {"claim", "published", "wait", "saw"}


def test_what_clients_are_told_is_synced() -> None:
    """Each transaction is synced that does not say otherwise, and these say it."""
    found = set()
    for file in Path(engines.__file__).parent.rglob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef) and file.name != "database.py":
                words = (
                    word.arg for call in ast.walk(function) if isinstance(call, ast.Call) for word in call.keywords
                )
                found |= {function.name} if "synced" in words else set()
    assert found == NOT_SYNCED


def test_a_transaction_that_fails_gives_its_turn_to_the_next(database: Database) -> None:
    with pytest.raises(RuntimeError, match="in between"), database.write():
        raise RuntimeError("in between")
    assert not database._turn.locked(), "the next writer would wait in vain for its turn"


def test_a_process_that_comes_second_waits_for_its_turn_to_switch_to_wal(config: Settings) -> None:
    """SQLite says BUSY at once, whatever its time-out, as long as somebody writes to a file that is not in WAL yet."""
    file = config.database
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as first:
        first.execute("CREATE TABLE other (x)")
        first.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as threads:
            second = threads.submit(Database(config.store_url).create)
            with pytest.raises(TimeoutError):
                second.result(0.3)
            first.execute("ROLLBACK")
            second.result(WAIT_SECONDS)


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


FORKS = """
import os, sys
from sqlalchemy import URL
from system.database import Database

database = Database(URL.create("sqlite", database=sys.argv[1]))
database.create()

def driver():
    with database.read() as connection:
        return connection.connection.dbapi_connection

kept = driver()
assert driver() is kept, "a connection is kept"
child = os.fork()
if not child:
    own = driver()
    os._exit(0 if own is not kept and driver() is own else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the child used the connection of its parent"
"""


def test_a_fork_has_connections_of_its_own(config: Settings) -> None:
    """A worker's pool forks. SQLite forbids to use, and even to close, a connection on the other side of a fork."""
    argv = [sys.executable, "-c", FORKS, str(config.database)]
    run = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


HELD = """
import os, sys, threading
from sqlalchemy import URL, text
from system.database import Database

database = Database(URL.create("sqlite", database=sys.argv[1]))
database.create()
begun, forking = threading.Event(), threading.Event()
os.register_at_fork(before=forking.set)  # hooks that are registered later come first

def write():  # as the watchdog of a worker does, in a thread of the main process
    with database.write() as connection:
        connection.execute(text("INSERT INTO seen VALUES ('parent', 0)"))
        begun.set()
        forking.wait()

thread = threading.Thread(target=write)
thread.start()
begun.wait()
child = os.fork()
if not child:
    with database.write() as connection:
        connection.execute(text("INSERT INTO seen VALUES ('child', 0)"))
    os._exit(0)
thread.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
with database.write() as connection:
    names = {name for (name,) in connection.execute(text("SELECT name FROM seen"))}
assert names == {"parent", "child"}, names
"""


def test_a_fork_carries_no_lock_of_its_parent(config: Settings) -> None:
    """A worker's main process writes in a thread while its pool forks. For the child, SQLite would hold the write lock
    of that moment for ever."""
    argv = [sys.executable, "-c", HELD, str(config.database)]
    run = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_file_that_was_replaced_is_opened_anew(database: Database, config: Settings) -> None:
    """A connection that was kept would go on in a file that nobody else sees any more."""
    with database.write() as connection:
        connection.execute(insert(jobs).values(id="1", **JOB))
    for file in config.database.parent.glob("jobs.db*"):
        file.unlink()
    database.create()
    with database.read() as connection:
        assert connection.execute(select(jobs)).all() == []
