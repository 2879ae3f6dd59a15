"""The database of the system's tests: an SQLite file, or PostgreSQL if BROWNOUT_STORE says so (`tox -e postgres`)."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.postgres import NoPostgres, Postgres, postgres

ON_POSTGRES = os.environ.get("BROWNOUT_STORE") == "postgres"
NewDatabase = Callable[[], dict[str, Any]]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One server for all tests of a process; each test has a database of its own."""
    try:
        with postgres() as server:
            yield server
    except NoPostgres as error:
        if "postgres" in os.environ.get("BROWNOUT_REQUIRE", "").split(","):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest) -> NewDatabase:
    """Makes the settings that name a new database; none for SQLite, whose file a test names by itself."""
    if not ON_POSTGRES:
        return dict
    server: Postgres = request.getfixturevalue("postgres_server")
    return lambda: {"database_url": server.url(server.new_database())}
