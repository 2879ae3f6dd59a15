"""The table of the schedule's ticks."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Only add: processes of the release before this one run beside it."""
    op.create_table(
        "ticks",
        sa.Column("due", sa.Float, primary_key=True),
        sa.Column("skipped", sa.Boolean, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
