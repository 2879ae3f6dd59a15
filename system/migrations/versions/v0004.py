"""What is known of a job's newest run."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Only add: processes of the release before this one run beside it."""
    op.add_column("jobs", sa.Column("started_at", sa.Float))
