"""Deletes the records whose retention time is over, in batches: no transaction holds its locks for long."""

from typing import Any

from sqlalchemy import Column, Connection, delete, exists, select

from system.database import Database
from system.job import now
from system.settings import Settings
from system.tables import applied, dead_letters, effects, jobs, seen, ticks

BATCH = 1_000  # rows of a table at most that one transaction deletes
BATCHES = 100  # that one tick deletes; the next tick goes on


def forget(connection: Connection, settings: Settings, tick: float) -> bool:
    """Delete a batch of what is too old, in the caller's transaction, and return whether there may be more. `tick` is
    the newest tick, which is kept."""
    old, older = now() - settings.retention, now() - settings.dead_letter_retention
    alive = exists().where(dead_letters.c.job_id == jobs.c.id)
    deleted = [
        _delete(connection, dead_letters.c.id, dead_letters.c.at, older),
        _delete(connection, jobs.c.id, jobs.c.finished_at, old, ~alive),
        _delete(connection, ticks.c.due, ticks.c.due, min(old, tick)),
        _delete(connection, applied.c.key, applied.c.at, old),
        _delete(connection, effects.c.id, effects.c.at, old),
        _delete(connection, seen.c.name, seen.c.at, old),
    ]
    return max(deleted) == BATCH


def forget_more(database: Database, settings: Settings, tick: float) -> None:
    """Go on with `forget`, in transactions of its own."""
    for _ in range(BATCHES - 1):
        with database.write() as connection:
            if not forget(connection, settings, tick):
                return


def _delete(connection: Connection, key: Column[Any], at: Column[Any], before: float, *also: Any) -> int:
    batch = select(key).where(at < before, *also).order_by(at).limit(BATCH)
    return connection.execute(delete(key.table).where(key.in_(batch), at < before)).rowcount
