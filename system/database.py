"""Transactions on SQLite or PostgreSQL, with connections that are kept from one transaction to the next."""

import os
import random
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from sqlalchemy import URL, Connection, Engine, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from system.engines import WAIT_SECONDS, postgres_engine, sqlite_engine
from system.migrations import migrate, up_to_date

#: A migration locks whole tables, one after the other, and transactions that work have locks in another order. Whoever
#: waits for longer than PostgreSQL's deadlock_timeout (1 s) may be aborted.
LOCK_MILLISECONDS = 500
TRIES = 20  # of a migration, on a busy database
LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's code of lock_timeout


class Database:
    """Transactions on one database. Safe in threads and across a fork."""

    def __init__(self, url: URL) -> None:
        self._sqlite = url.get_backend_name() == "sqlite"
        self._engine: Engine = sqlite_engine(url) if self._sqlite else postgres_engine(url)
        self._turn, self._process = Lock(), os.getpid()
        self._parents: object = None
        if self._sqlite:
            _close_before_forks(self)

    def create(self) -> None:
        """Bring the tables up to date. Processes that start together do so one after the other."""
        with self.read() as connection:
            if up_to_date(connection):
                return
        self.change(migrate)

    def change(self, migration: Callable[[Connection], None]) -> None:
        """Run a migration in one transaction, beside processes that work.

        On PostgreSQL a migration that waits too long for a lock lets go of its locks, and begins again. Raises
        `OperationalError` after `TRIES` attempts.
        """
        for tries in range(1, TRIES + 1):
            try:
                with self.write() as connection:
                    if not self._sqlite:
                        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}")
                    return migration(connection)
            except OperationalError as error:
                if tries == TRIES or getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                    raise
            time.sleep(LOCK_MILLISECONDS / 1_000 * random.random())  # for those who have waited behind its locks
        return None

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that can say what to do ON CONFLICT; SQLAlchemy has one for each database."""
        return sqlite.insert(table) if self._sqlite else postgresql.insert(table)

    @contextmanager
    def write(self, *, synced: bool = True) -> Iterator[Connection]:
        """A transaction that commits at the end of the block, or leaves nothing when the block raises.

        SQLite: a commit that is not `synced` survives the death of each process. A power loss may undo it, with all
        that came after it, until a commit that is synced. PostgreSQL syncs all.

        SQLite: it holds the write lock from its first statement. A transaction that reads first and writes later may
        fail with SQLITE_BUSY at once, whatever the time-out. Threads of one process go in turn: SQLite polls for its
        lock, unfairly, and in the end gives up ("locking protocol"). A thread whose turn does not come within
        WAIT_SECONDS takes its chance there.
        """
        self._leave_parent()
        turn = self._sqlite and self._turn.acquire(timeout=WAIT_SECONDS)
        try:
            with self._connect().execution_options(synced=synced) as connection, connection.begin():
                yield connection
        finally:
            if turn:
                self._turn.release()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that reads; on SQLite a snapshot. It never waits for a writer."""
        with self._connect().execution_options(read=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close the connections that nobody uses. The next transaction opens new ones."""
        self._engine.dispose()

    def hand_over(self) -> Callable[[], None]:
        """SQLite, before a fork: wait for the transaction that writes, and close all connections. Call the result after
        the fork, in both processes.

        SQLite keeps the locks of a process in its memory: a child of a process that has the file open believes in locks
        that it does not have (https://sqlite.org/howtocorrupt.html, "Carrying an open database across a fork").
        """
        turn = self._turn
        held = turn.acquire(timeout=WAIT_SECONDS)
        self._engine.dispose()
        return turn.release if held else lambda: None

    def _connect(self) -> Connection:
        self._leave_parent()
        return self._engine.connect()

    def _leave_parent(self) -> None:
        """After a fork: the connections belong to the parent, whose threads may have held the lock."""
        if self._process != os.getpid():
            self._parents = self._engine.pool  # the connections are neither used nor closed here: the pool must stay
            self._engine.dispose(close=False)
            self._turn, self._process = Lock(), os.getpid()


def _close_before_forks(database: Database) -> None:
    """Let go of the file before each fork of this process, for as long as the database is in use."""
    known, after = weakref.ref(database), list[Callable[[], None]]()

    def before() -> None:
        if there := known():
            after.append(there.hand_over())

    def done() -> None:
        if after:
            after.pop()()

    os.register_at_fork(before=before, after_in_parent=done, after_in_child=done)
