"""Time for the job store: instead of waiting for a lease to run out, everything recorded becomes older."""

from functools import cache
from typing import Any

from sqlalchemy import URL, Engine, NullPool, create_engine, select, update

from system.settings import Settings
from system.tables import metadata

TIMES = [
    ("jobs", "accepted_at"),
    ("jobs", "started_at"),
    ("jobs", "finished_at"),
    ("outbox", "due"),
    ("outbox", "published_at"),
    ("applied", "at"),
    ("effects", "at"),
    ("seen", "at"),
    ("dead_letters", "at"),
    ("ticks", "due"),
    ("ticks", "at"),
]


@cache
def _engine(url: URL) -> Engine:
    return create_engine(url, poolclass=NullPool)


def let_pass(config: Settings, seconds: float) -> None:
    """Let `seconds` pass for the store of these settings."""
    with _engine(config.store_url).begin() as connection:
        for name, column in TIMES:
            table = metadata.tables[name]
            connection.execute(update(table).values({column: table.c[column] - seconds}))


def rows(config: Settings, name: str) -> list[dict[str, Any]]:
    """What a table holds, read past the store, in the order in which it was written."""
    table = metadata.tables[name]
    order = {
        "jobs": "accepted_at",
        "effects": "id",
        "applied": "at",
        "seen": "at",
        "outbox": "due",
        "dead_letters": "id",
        "ticks": "due",
    }[name]
    with _engine(config.store_url).connect() as connection:
        return [dict(row) for row in connection.execute(select(table).order_by(table.c[order])).mappings()]
