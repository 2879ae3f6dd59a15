"""Owners of jobs, and dead letters."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Only add: processes of the release before this one run beside it, and do not name the new columns."""
    op.add_column("jobs", sa.Column("owner", sa.String, nullable=False, server_default="local"))
    op.add_column("jobs", sa.Column("attempts_before", sa.Integer, nullable=False, server_default="0"))
    op.add_column("outbox", sa.Column("owner", sa.String, nullable=False, server_default="local"))
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id"), nullable=False, unique=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_index("dead_letters_by_owner", "dead_letters", ["owner", "id"])
