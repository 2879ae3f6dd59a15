"""Connections that a process keeps, and that are of no use any more."""

import pytest
from sqlalchemy import text

from system import engines
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


def test_a_connection_that_was_not_used_for_long_is_asked_first(
    config: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server may be gone without a word, as after a power loss."""
    kept, asked = Database(config.store_url), list[str]()
    with kept.write() as connection:
        backend = connection.execute(BACKEND).scalar_one()
    monkeypatch.setattr(kept._engine.dialect, "do_ping", lambda _: asked.append("asked"))
    with kept.write() as connection:
        assert (connection.execute(BACKEND).scalar_one(), asked) == (backend, []), "it was used just before"
    monkeypatch.setattr(engines, "QUIET_SECONDS", 0.0)
    with kept.write() as connection:
        assert connection.execute(BACKEND).scalar_one() != backend, "it has not answered"
    assert asked == ["asked"], "a new one is not asked"
    kept.close()


def test_a_connection_that_is_closed_here_is_replaced(config: Settings) -> None:
    kept = Database(config.store_url)
    with kept.read() as connection:
        driver = connection.connection.driver_connection
    assert driver is not None
    driver.close()
    with kept.read() as connection:
        assert connection.connection.driver_connection is not driver
    kept.close()
