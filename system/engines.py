"""How a connection to each database is made, checked, and given up."""

import os
import time
from pathlib import Path
from select import POLLIN, poll
from sqlite3 import SQLITE_BUSY
from sqlite3 import Connection as SQLite
from sqlite3 import Error as SQLiteError
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError, OperationalError

CONNECTIONS = 10  # of one process; a thread that finds none free waits for WAIT_SECONDS
WAIT_SECONDS = 5.0  # no transaction waits longer for a lock, a free connection, or the server's answer
CONNECT_SECONDS = 2
BUSY_TIMEOUT = f"PRAGMA busy_timeout = {WAIT_SECONDS * 1_000:.0f}"
LOOK_SECONDS, LOOK_LONGEST = 0.0005, 0.01  # between two looks at SQLite's write lock: at first, and later
QUIET_SECONDS = 10.0  # a connection to a server that was not used for so long may be dead without a word
#: An error of the database does not show the values of its statement: they are the clients'.
POOL: dict[str, Any] = {
    "pool_size": CONNECTIONS, "max_overflow": 0, "pool_timeout": WAIT_SECONDS, "hide_parameters": True,
}  # fmt: skip


def sqlite_engine(url: URL) -> Engine:
    """SQLite for several processes: WAL, short transactions, no lock taken twice."""
    engine, path = create_engine(url, **POOL), Path(url.database or "")

    @event.listens_for(engine, "connect")
    def configure(connection: SQLite, record: Any) -> None:
        record.info["file"] = _identity(path)
        connection.isolation_level = None  # the driver must not begin transactions of its own
        connection.execute(BUSY_TIMEOUT)
        _write_ahead(connection)
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "checkout")
    def check(_connection: SQLite, record: Any, _proxy: Any) -> None:
        # A connection that was kept would go on in a file that somebody has removed or replaced.
        if record.info["file"] != _identity(path):
            raise DisconnectionError("the file is another one")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("read", False):
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_immediate(connection)

    return engine


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _write_ahead(connection: SQLite) -> None:
    """Switch the file to WAL, once in its life. Processes that do it together get SQLITE_BUSY at once, so ask again."""
    give_up = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except SQLiteError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.005)


def _begin_immediate(connection: Connection) -> None:
    """Begin a transaction that has the write lock. Waits for the lock for up to WAIT_SECONDS.

    SQLite's own time-out looks at the lock after 1, 2, 5, 10, 15, 20, 25 ms, and at last every 100 ms (sqlite3.c,
    `sqliteDefaultBusyCallback`). A transaction takes a millisecond, so that processes that write in turn would sleep
    for most of their time. Like SQLite, this adds up its sleeps: a process that is stopped meanwhile keeps its turn.
    """
    raw = cast("SQLite", connection.connection.driver_connection)
    # An accepted job (202) survives a power loss, not only a crash.
    synced = "FULL" if connection.get_execution_options().get("synced", True) else "NORMAL"
    pause, waited = LOOK_SECONDS, 0.0
    try:
        raw.execute("PRAGMA busy_timeout = 0")
        while True:
            try:
                raw.execute(f"PRAGMA synchronous = {synced}")
                raw.execute("BEGIN IMMEDIATE")
                return
            except SQLiteError as error:
                kind = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the higher bytes tell more
                if kind != SQLITE_BUSY or waited >= WAIT_SECONDS:
                    raise OperationalError("BEGIN IMMEDIATE", None, error) from error
            time.sleep(pause)
            waited += pause
            pause = min(pause * 1.1, LOOK_LONGEST)
    finally:
        raw.execute(BUSY_TIMEOUT)


def postgres_engine(url: URL) -> Engine:
    """PostgreSQL over psycopg. A server that is silent is given up, wherever the silence comes from."""
    from psycopg import Connection as Psycopg  # here: whoever uses SQLite needs no psycopg
    from psycopg import OperationalError as ServerError
    from psycopg.pq import TransactionStatus

    class Bounded(Psycopg[Any]):
        """A connection whose server must answer in time; the server's own time-outs do not reach a black hole."""

        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                return super().wait(gen, interval, timeout or WAIT_SECONDS + 1)
            except ServerError:
                if self.info.transaction_status == TransactionStatus.ACTIVE:  # the answer may still come: too late
                    self.close()
                raise

    milliseconds = round(WAIT_SECONDS * 1_000)
    limits = {
        # A commit is on the disk before it is answered, whatever the server's own setting is.
        "synchronous_commit": "on",
        "statement_timeout": milliseconds,
        # A process that is stopped in the middle of a transaction holds its locks for so long, and no longer.
        "idle_in_transaction_session_timeout": milliseconds,
    }
    given = {
        "connect_timeout": CONNECT_SECONDS,
        "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
    }
    engine = create_engine(url, connect_args=given, **POOL)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, args: list[Any], options: dict[str, Any]) -> Any:
        return Bounded.connect(*args, application_name=f"system {os.getpid()}", **options)

    @event.listens_for(engine, "checkin")
    def used(_connection: Psycopg[Any] | None, record: Any) -> None:
        record.info["used"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def check(connection: Psycopg[Any], record: Any, _proxy: Any) -> None:
        # A connection from before a restart of the server costs no client a 503. A server sends nothing to an idle
        # connection except when it closes it. Where nobody could say goodbye, only a statement shows it.
        if (used := record.info.get("used")) is None:
            return  # it is new
        look = poll()
        try:
            look.register(connection, POLLIN)
            alive = not look.poll(0) and (
                time.monotonic() - used < QUIET_SECONDS or engine.dialect.do_ping(cast("Any", connection))
            )
        except ServerError as error:
            raise DisconnectionError("the server does not answer") from error
        if not alive:
            raise DisconnectionError("the server has closed the connection")

    return engine
