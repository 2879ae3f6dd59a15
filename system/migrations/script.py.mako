"""${message}."""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Only add: processes of the release before this one run beside it."""
    ${upgrades if upgrades else "pass"}
