"""The fixtures that give a test a Redis server, and the choice of the provider for each layer of tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal

import pytest

from brownout.pytest_options import provider

if TYPE_CHECKING:
    from brownout.subject.servers.ladder import Rung
    from brownout.subject.servers.redis_server import RedisServer

SERVERS: pytest.StashKey[dict[str, tuple[RedisServer, str]]] = pytest.StashKey()
RUNGS: pytest.StashKey[dict[str, Rung]] = pytest.StashKey()


def rung_of(request: pytest.FixtureRequest) -> Rung:
    """Choose where the Redis server comes from (container or local program) for the test's layer, once for each
    session. The test is skipped when there is no Redis."""
    from brownout.subject.servers.ladder import NoRedis, choose

    chaos = request.node.get_closest_marker("chaos") or "lab" in request.fixturenames
    prefer: Literal["local", "container"] = "local" if chaos else "container"
    chosen = request.config.stash[RUNGS]
    if prefer not in chosen:
        try:
            chosen[prefer] = choose(prefer, provider(request.config))
        except NoRedis as error:
            pytest.skip(str(error))
    return chosen[prefer]


@pytest.fixture
def redis_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """An empty Redis server for a test that does not break it. There is one server for the whole session; it is flushed
    before and after each test.

    A test that pauses, kills or restarts its server must use the fixture `own_redis`. If a test breaks the shared
    server, the fixture raises an error, and the next test gets a new server.
    """
    from brownout.report.progress import of_pytest
    from brownout.subject.servers.ladder import server

    rung, shared = rung_of(request), request.config.stash[SERVERS]
    if rung.name not in shared:
        with of_pytest(request.config).during("starting a Redis"):
            new = server(rung).start()
        shared[rung.name] = (new, new.run_id)
    running, run_id = shared[rung.name]
    _flush(running, run_id)
    yield running
    try:
        _flush(running, run_id)
    except Exception as error:
        del shared[rung.name]
        running.stop()
        raise RuntimeError(
            "this test broke the Redis server that all tests share; use the fixture own_redis in this test"
        ) from error


def _flush(server: RedisServer, run_id: str) -> None:
    # Redis makes a new run_id at every start, so the fixture flushes only the server that it has started itself.
    with server.client() as client:
        if client.info("server")["run_id"] != run_id:
            raise RuntimeError(f"the server on port {server.port} is not the one that was started")
        client.flushall()


@pytest.fixture
def own_redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A Redis of the test's own that keeps its data over a restart: kill, pause and restart it at will."""
    from brownout.report.progress import of_pytest
    from brownout.subject.servers.ladder import server

    with ExitStack() as stack:
        with of_pytest(request.config).during("starting a Redis"):
            own = stack.enter_context(server(rung_of(request), persistence=True))
        yield own
