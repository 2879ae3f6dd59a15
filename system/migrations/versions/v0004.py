"""What is known of a job's newest run; ids of dead letters that are never used again; indexes for retention."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Only add: processes of the release before this one run beside it."""
    op.add_column("jobs", sa.Column("started_at", sa.Float))
    if op.get_bind().dialect.name == "sqlite":  # which can only copy the table for that; PostgreSQL has sequences
        with op.batch_alter_table("dead_letters", recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass
    # An index holds up all writes to its table while it is built. Where a table is large, an operator builds it before
    # with CREATE INDEX CONCURRENTLY, under the same name, and looks that the index did not become INVALID.
    for table in ("applied", "effects", "dead_letters"):
        op.create_index(f"ix_{table}_at", table, ["at"], if_not_exists=True)
