"""Deletes the records whose retention time is over."""

from sqlalchemy import Connection, delete, select

from system.job import now
from system.settings import Settings
from system.tables import applied, dead_letters, effects, jobs, seen, ticks


def forget(connection: Connection, settings: Settings, tick: float) -> None:
    """Delete what is too old, in the caller's transaction. `tick` is the newest tick, which is kept."""
    old, older = now() - settings.retention, now() - settings.dead_letter_retention
    connection.execute(delete(dead_letters).where(dead_letters.c.at < older))
    alive = jobs.c.id.not_in(select(dead_letters.c.job_id))
    connection.execute(delete(jobs).where(jobs.c.finished_at < old, alive))
    connection.execute(delete(ticks).where(ticks.c.due < min(old, tick)))
    for table in (applied, effects, seen):
        connection.execute(delete(table).where(table.c.at < old))
