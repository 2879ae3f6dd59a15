"""Brings a database's tables up to date. Migrations only add, so that old and new processes can run side by side."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

REVISION = "0005"  # the newest one in `versions`
LOCK = 7_205_759_403  # PostgreSQL's advisory lock of those who migrate: any number that nobody else uses


def up_to_date(connection: Connection) -> bool:
    """Whether no migration is missing. Nearly always true, and found out without a lock and without Alembic."""
    return _current(connection) == REVISION


def migrate(connection: Connection) -> None:
    """Run the migrations that are missing, in the caller's transaction, while no other process does.

    A database that a newer release has migrated is left as it is.
    """
    from alembic.command import upgrade
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":  # on SQLite the transaction has the write lock
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    config, current = Config(), _current(connection)
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is None or current in known:
        config.attributes["connection"] = connection
        upgrade(config, "head")


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
