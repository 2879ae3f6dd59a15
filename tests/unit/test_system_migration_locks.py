"""A migration beside processes that work: PostgreSQL ends no transaction of theirs, and the migration comes through."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from system import database as module
from system.database import Database
from system.settings import Settings
from tests.conftest import ON_POSTGRES

pytestmark = pytest.mark.skipif(not ON_POSTGRES, reason="of PostgreSQL: SQLite has one lock")


@pytest.fixture
def database(config: Settings) -> Iterator[Database]:
    database = Database(config.store_url)
    database.create()
    yield database
    database.close()


def test_a_migration_lets_go_before_anybody_is_aborted(database: Database) -> None:
    """It has locked `jobs` and wants `outbox`; a transaction has `outbox` and wants `jobs`."""
    locked, tries = threading.Event(), list[int]()

    def migration(connection: Connection) -> None:
        tries.append(len(tries))
        connection.execute(text("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"))
        locked.set()
        connection.execute(text("LOCK TABLE outbox IN ACCESS EXCLUSIVE MODE"))

    with database.write() as connection:
        connection.execute(text("SELECT count(*) FROM outbox"))
        thread = threading.Thread(target=database.change, args=[migration])
        thread.start()
        assert locked.wait(10)
        connection.execute(text("SELECT count(*) FROM jobs"))  # waits until the migration has let go
    thread.join(10)
    assert not thread.is_alive()
    assert len(tries) > 1


def test_a_migration_that_gets_no_lock_gives_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIES", 2)
    monkeypatch.setattr(module, "LOCK_MILLISECONDS", 50)
    tries = list[int]()

    def migration(connection: Connection) -> None:
        tries.append(len(tries))
        connection.execute(text("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"))

    with database.write() as connection:
        connection.execute(text("SELECT count(*) FROM jobs"))
        with pytest.raises(OperationalError, match="lock timeout"):
            database.change(migration)
    assert len(tries) == 2
