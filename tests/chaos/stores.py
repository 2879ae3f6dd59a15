"""The job store of a trial on PostgreSQL: a database of its own, behind an edge; and its rows, read past that edge."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg import sql

from brownout.extend import Event, Subject
from brownout.probes.line import now
from brownout.wire import Wire
from tests.postgres import OWNER, Postgres

EVERY = 0.05  # s between two looks at the rows
SHARE = 20  # so many times as long as a query took is the pause after it: who looks must not slow the system down
LONGEST = 0.5  # s of such a pause: a query may have waited for a server that was stopped
LATE = 60.0  # s between the time in a row and its commit at most: each of its few statements is limited to five
ACCEPTED = "SELECT key, id, accepted_at FROM jobs WHERE accepted_at > %s"
EFFECTS = "SELECT id, key, name, at FROM effects WHERE at > %s ORDER BY id"


class Database:
    """One trial's database. Its text is the URL that the application is given."""

    running: dict[str, "Database"] = {}  # noqa: RUF012 - by their URLs

    def __init__(self, server: Postgres) -> None:
        self.server, self._stack = server, ExitStack()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def __enter__(self) -> Self:
        self.name = self.server.new_database()
        wire = self._stack.enter_context(Wire())
        self.edge = wire.edge("system->store", f"127.0.0.1:{self.server.port}")
        self.url = self.server.url(self.name, self.edge.address)
        self.running[self.url] = self
        return self

    def __str__(self) -> str:
        return self.url

    def __exit__(self, *_: object) -> None:
        del self.running[self.url]
        self._close()
        self._stack.close()
        if not self.server.process.alive:
            self.server.start()
        self.server.drop(self.name)

    @classmethod
    def of(cls, subject: Subject) -> "Database | None":
        """The database of this subject; None when its store is an SQLite file."""
        return next((cls.running[text] for text in subject.places if text in cls.running), None)

    def rows(self, query: str, *given: Any) -> list[tuple[Any, ...]]:
        """Read past the edge, over a connection that is kept. Nothing while the server is away or has no tables yet."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self.server.observer(self.name), autocommit=True)
            return self._connection.execute(query, given).fetchall()
        except psycopg.errors.UndefinedTable:
            return []
        except psycopg.OperationalError:
            self._close()
            return []

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def limit(self, connections: int) -> None:
        """Let the application have so many connections at once, -1 for any number; end those that it has."""
        with self.server.superuser() as connection:
            role, number = sql.Identifier(OWNER), sql.Literal(connections)
            connection.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(role, number))
            if connections >= 0:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [OWNER])


def reader(
    query: str, event: Callable[[int, tuple[Any, ...]], Event]
) -> Callable[[Path], Callable[[], Iterator[Event]]]:
    """For `Application.effects` and `Application.accepted`: the rows of the only trial's database that are new."""

    def of_trial(_files: Path) -> Callable[[], Iterator[Event]]:
        seen, looked, epoch = set[tuple[Any, ...]](), dict[str, float](), time.time_ns() - now()
        next_look = 0.0

        def read() -> Iterator[Event]:
            nonlocal next_look
            if time.monotonic() < next_look:
                return
            for database in list(Database.running.values()):
                begun, wall = time.monotonic(), time.time()
                rows = database.rows(query, looked.get(database.url, 0.0) - LATE)
                ended = time.monotonic()
                next_look = ended + min(LONGEST, max(EVERY, SHARE * (ended - begun)))
                if rows:
                    looked[database.url] = wall
                for *content, at in rows:
                    row = (database.url, *content)
                    if row not in seen:
                        seen.add(row)
                        yield event(int(at * 1e9) - epoch, tuple(content))

        return read

    return of_trial


postgres_accepted = reader(ACCEPTED, lambda at, row: Event(at, "store", "accepted", row[0], row[1]))
postgres_effects = reader(EFFECTS, lambda at, row: Event(at, "effects", "effect", task=row[1], data={"name": row[2]}))
