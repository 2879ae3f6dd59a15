"""What Alembic runs: for `migrate`, on its connection; for the command line, on the database of the settings."""

from alembic import context
from sqlalchemy import Connection

from system.database import Database
from system.settings import get_settings
from system.tables import metadata


def run(connection: Connection) -> None:
    """Run what was asked for on this connection."""
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    Database(get_settings().store_url).change(run)
