"""What several of the kit's test files need."""

import signal
from collections.abc import Iterator

import pytest

from brownout.subject.servers import ladder
from brownout.subject.servers.redis_server import RedisServer
from brownout.wire.tcp.wire import default_loop
from tests.kit.toxiproxy_servers import Api, builtin, official


@pytest.fixture(scope="module")
def heard() -> Iterator[None]:
    """SIGINT works in this process and in those that it starts; a shell's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def local_redis() -> Iterator[RedisServer]:
    """A server of one's own that is a process: a container's port moves, and it starts again only as it was made."""
    try:
        rung = ladder.choose("local")
    except ladder.NoRedis as error:
        pytest.skip(str(error))
    with ladder.server(rung, persistence=True) as server:
        yield server


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Api]]:
    """Toxiproxy's API twice: of the official server, and of the built-in wire."""
    with official(tmp_path_factory.mktemp("official")) as theirs, builtin(default_loop()) as ours:
        apis = Api("official", theirs), Api("builtin", ours)
        yield apis
        for api in apis:
            api.close()
