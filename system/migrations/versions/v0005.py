"""When a job's newest message was published, so that a message which waits in a long queue is not published again."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Only add: processes of the release before this one run beside it."""
    op.add_column("outbox", sa.Column("published_at", sa.Float))
