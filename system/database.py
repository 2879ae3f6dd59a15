"""An SQLite database for several processes: write-ahead log (WAL), short transactions, and one write lock for each
transaction."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SQLite
from sqlite3 import OperationalError
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event

from system.tables import metadata

BUSY_MILLISECONDS = 5_000


class Database:
    """Transactions on one SQLite file. Threads and forked processes may use the same Database, because no connection
    outlives its transaction."""

    def __init__(self, path: Path) -> None:
        self._engine = _engine(path)
        self._turn = Lock()

    def create(self) -> None:
        """Create the missing tables; processes that start at the same time create tables one after the other."""
        with self.write() as connection:
            metadata.create_all(connection)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Begin a transaction that holds the write lock from its first statement.

        A transaction that reads first and writes later may fail with SQLITE_BUSY at once, whatever the time-out. The
        threads of one process take turns, because SQLite polls for its lock in no fair order and at last gives up
        ("locking protocol"). A thread that gets no turn in time relies on SQLite's polling.
        """
        turn = self._turn.acquire(timeout=BUSY_MILLISECONDS / 1_000)
        try:
            with self._engine.connect() as connection, connection.begin():
                yield connection
        finally:
            if turn:
                self._turn.release()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Begin a transaction that reads a snapshot; it never waits for a writer."""
        with self._engine.connect().execution_options(read=True) as connection, connection.begin():
            yield connection


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def configure(connection: SQLite, _record: Any) -> None:
        connection.isolation_level = None  # the sqlite3 module must not begin transactions of its own
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")  # an accepted job (202) survives a power loss, not only a crash
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("read", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _write_ahead(connection: SQLite) -> None:
    """Switch the file to WAL, which the file remembers. Processes that switch at the same time get SQLITE_BUSY at once,
    so the switch is tried again."""
    give_up = time.monotonic() + BUSY_MILLISECONDS / 1_000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.005)
