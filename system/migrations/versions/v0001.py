"""The first tables. Databases from before the migrations have them already."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables and indexes that are missing."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("key", sa.String, unique=True),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("task", sa.String, nullable=False),
        sa.Column("args", sa.JSON, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.JSON),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("starts", sa.Integer, nullable=False),
        sa.Column("accepted_at", sa.Float, nullable=False),
        sa.Column("finished_at", sa.Float),
        if_not_exists=True,
    )
    op.create_index("jobs_by_state", "jobs", ["state"], if_not_exists=True)
    op.create_index("jobs_by_finish", "jobs", ["finished_at"], if_not_exists=True)
    op.create_table(
        "outbox",
        sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("due", sa.Float, nullable=False),
        sa.Column("publishes", sa.Integer, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_outbox_due", "outbox", ["due"], if_not_exists=True)
    op.create_table(
        "applied",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "effects",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_effects_key", "effects", ["key"], if_not_exists=True)
    op.create_table(
        "seen",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        if_not_exists=True,
    )
