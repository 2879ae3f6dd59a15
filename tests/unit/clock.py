"""Time for the job store: instead of waiting for a lease to run out, everything recorded becomes older."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

TIMES = [
    ("jobs", "accepted_at"),
    ("jobs", "finished_at"),
    ("outbox", "due"),
    ("applied", "at"),
    ("effects", "at"),
    ("seen", "at"),
]


def let_pass(database: Path, seconds: float) -> None:
    """Let `seconds` pass for the store in this file."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in TIMES:
            connection.execute(f"UPDATE {table} SET {column} = {column} - ?", [seconds])


def rows(database: Path, table: str) -> list[dict[str, Any]]:
    """What a table holds, read past the store."""
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
