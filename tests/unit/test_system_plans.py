"""What the API and the relay ask for again and again is found by an index, however many jobs there are."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Select, insert, select, text

from system.database import Database
from system.job import State
from system.rows import ANY_DUE, DUE, JOB
from system.settings import Settings
from system.tables import applied, dead_letters, effects, jobs, outbox
from tests.conftest import ON_POSTGRES

JOBS, UNFINISHED = 20_000, 1_000
QUERIES: dict[str, tuple[Select[Any], str]] = {
    "the relay: what is due": (DUE.params(at=100.0, limit=20), "ix_outbox_due"),
    "the relay: is anything due": (ANY_DUE.params(at=1.0), "ix_outbox_due"),
    "a status": (JOB.params(job_id="17"), "jobs_pkey" if ON_POSTGRES else "sqlite_autoindex_jobs_1"),
    **{
        f"retention: {table.name}": (
            select(table).where(table.c.at < 0).order_by(table.c.at).limit(9),
            f"ix_{table}_at",
        )
        for table in (applied, effects, dead_letters)
    },
    "a key": (
        select(jobs).where(jobs.c.key.in_(["k17"])),
        "jobs_key_key" if ON_POSTGRES else "sqlite_autoindex_jobs_2",
    ),
}


@pytest.fixture
def full(config: Settings) -> Iterator[Database]:
    """Many jobs that have ended, and as many as may be unfinished; statistics as a server has them after a while."""
    database = Database(config.store_url)
    database.create()
    same = {"fingerprint": "f", "task": "t", "args": [], "state": State.SUCCESS, "accepted_at": 0.0, "finished_at": 1.0}
    with database.write() as connection:
        connection.execute(insert(jobs), [{"id": str(n), "key": f"k{n}", **same} for n in range(JOBS)])
        entries = [{"job_id": str(n), "due": float(n), "publishes": 0} for n in range(UNFINISHED)]
        connection.execute(insert(outbox), entries)
        numbers = [str(number) for number in range(JOBS)]
        connection.execute(insert(applied), [{"key": n, "at": float(n)} for n in numbers])
        connection.execute(insert(effects), [{"key": n, "name": "t", "at": float(n)} for n in numbers])
        letter = {"owner": "local", "reason": "poison"}
        connection.execute(insert(dead_letters), [{"job_id": n, "at": float(n), **letter} for n in numbers])
        connection.execute(text("ANALYZE"))
    yield database
    database.close()


def plan(database: Database, query: Select[Any]) -> str:
    """What the database would do, in its own words."""
    with database.read() as connection:
        words = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
        explain = "EXPLAIN" if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {words}"))


def test_the_queries_use_their_indexes(full: Database) -> None:
    for name, (query, index) in QUERIES.items():
        told = plan(full, query)
        assert index in told, f"{name}: {told}"
        assert "SCAN" not in told.upper().replace("INDEX SCAN", "").replace("BITMAP HEAP SCAN", ""), f"{name}: {told}"


def test_relays_do_not_wait_for_each_other(full: Database) -> None:
    """PostgreSQL skips what another relay is claiming; SQLite knows no locks of rows, and has one writer."""
    assert ("LockRows" in plan(full, DUE.params(at=100.0, limit=20))) == ON_POSTGRES
    with full.read() as connection:
        assert ("SKIP LOCKED" in str(DUE.compile(connection))) == ON_POSTGRES
