"""A server that has closed the connections which a process keeps."""

import pytest
from sqlalchemy import text

from system.database import Database
from system.settings import Settings
from tests.conftest import ON_POSTGRES

pytestmark = pytest.mark.skipif(not ON_POSTGRES, reason="of PostgreSQL: SQLite is no server")
BACKEND, OTHERS = text("SELECT pg_backend_pid()"), text("SELECT pg_terminate_backend(:backend, 5000)")


def test_a_connection_that_the_server_has_closed_costs_no_error(config: Settings) -> None:
    """As after a restart of the server."""
    kept, other = Database(config.store_url), Database(config.store_url)
    with kept.write() as connection:
        backend = connection.execute(BACKEND).scalar_one()
    with kept.write() as connection:
        assert connection.execute(BACKEND).scalar_one() == backend, "the connection is kept"
    with other.write() as connection:
        assert connection.execute(OTHERS, {"backend": backend}).scalar_one(), "it has ended"
    with kept.write() as connection:
        assert connection.execute(BACKEND).scalar_one() != backend
    kept.close()
    other.close()
