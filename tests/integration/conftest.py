"""What the tests of the running system share: one Redis, one system that nobody breaks, one that anybody may."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest

from brownout.pytest_options import provider
from brownout.subject.ports import HOST
from brownout.subject.servers import ladder
from brownout.subject.servers.redis_server import RedisServer
from brownout.wire import Wire
from tests.conftest import NewDatabase
from tests.integration.fragile import Fragile
from tests.integration.outside import OutsideService
from tests.integration.running import SLACK, NewSystem, Running, settings


@pytest.fixture(scope="session")
def redis_rung(pytestconfig: pytest.Config) -> ladder.Rung:
    try:
        return ladder.choose("container", provider(pytestconfig))
    except ladder.NoRedis as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def calm_redis(redis_rung: ladder.Rung) -> Iterator[RedisServer]:
    """One server for every system that is not broken; each takes two of its databases."""
    with ladder.server(redis_rung, options={"databases": "64"}) as server:
        yield server


@pytest.fixture(scope="session")
def outside() -> Iterator[OutsideService]:
    with OutsideService() as service:
        yield service


@pytest.fixture(scope="session")
def make_system(
    calm_redis: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
    outside: OutsideService,
    new_database: NewDatabase,
) -> NewSystem:
    """Makes systems with Redis databases and a folder of their own. Whoever makes one stops it."""
    databases = count(0, 2)

    def make(name: str, **values: Any) -> Running:
        db, folder = next(databases), tmp_path_factory.mktemp(name)
        given = {"service_url": outside.url, **new_database(), **values}
        return Running(folder, settings(folder, calm_redis.url(db), calm_redis.url(db + 1), **given), calm_redis)

    return make


@pytest.fixture
def new_system(make_system: NewSystem) -> Iterator[NewSystem]:
    """Makes systems that end with the test."""
    with ExitStack() as stack:
        yield lambda name, **values: stack.enter_context(make_system(name, **values))


@pytest.fixture(scope="session", autouse=True)
def side_by_side(request: pytest.FixtureRequest) -> None:
    """Start at once, and together, what the selected tests will want: nearly all that a start takes is waiting."""
    if hasattr(request.config, "workerinput"):
        return  # an xdist worker does not know which tests will be its own
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    for name in sorted(wanted):
        if name.startswith("starting_"):
            request.getfixturevalue(name)


@pytest.fixture(scope="session")
def starting_calm(make_system: NewSystem) -> Iterator[Running]:
    with make_system("calm", max_retries=3, backoff_max=1, tick_seconds=0.5) as system:
        yield system.api().relay().worker("worker-1", "-c", "2", "-E")


@pytest.fixture(scope="session")
def calm(starting_calm: Running) -> Running:
    """API, worker (-c 2, with events) and relay, for tests that break nothing."""
    return starting_calm.ready()


@pytest.fixture(scope="session")
def starting_fragile(
    redis_rung: ladder.Rung,
    tmp_path_factory: pytest.TempPathFactory,
    outside: OutsideService,
    new_database: NewDatabase,
) -> Iterator[Fragile]:
    small = {
        "pace": 0.05, "broker_timeout": 0.5, "publish_lease": 1, "queue_patience": 3, "wedge_seconds": 5,
        "soft_time_limit": 2, "time_limit": 3, "backoff_max": 1, "visibility_timeout": 5,
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("fragile")
    with (
        ladder.server(redis_rung, persistence=True) as server,
        Wire() as wire,
        Fragile(folder, server, wire, service_url=outside.url, **new_database(), **small) as system,
    ):
        yield system


@pytest.fixture
def fragile(starting_fragile: Fragile) -> Fragile:
    """A system for tests that break something. Each heals what it broke; here it must be whole before the next."""
    return starting_fragile.ready()


@pytest.fixture(scope="session")
def starting_alone(
    starting_fragile: Fragile, tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase
) -> Iterator[Running]:
    url = f"redis://{starting_fragile.edges['alone->broker'].address}"
    values = {"app_name": "Another one", "backlog_limit": 5, "broker_timeout": 8 * SLACK, **new_database()}
    given = settings(tmp_path_factory.mktemp("alone"), f"{url}/4", f"{url}/5", **values)
    with Running(given.database.parent, given, starting_fragile.server) as system:
        yield system.api("--ws-ping-interval", "0.3", "--ws-ping-timeout", "0.3")


@pytest.fixture(scope="session")
def alone(starting_alone: Running) -> Running:
    """An API without worker and relay, on a database of its own of the Redis that may be stopped: no job ends.

    No client here waits for as long as its broker time-out: were anybody to wait for the broker, it would be seen.
    """
    return starting_alone.ready()


@pytest.fixture(scope="session")
def starting_probe(make_system: NewSystem) -> Iterator[Running]:
    with make_system("probe", pace=0.01, max_starts=2) as system:
        yield system.worker("worker-1", "-c", "3", module="tests.integration.probe_worker")


@pytest.fixture(scope="session")
def probe(starting_probe: Running) -> Running:
    """A worker with the tasks of `probe_worker`, and no API."""
    return starting_probe.ready()


@pytest.fixture(scope="session")
def starting_forked(make_system: NewSystem) -> Iterator[Running]:
    """Two uvicorn workers under gunicorn, which keeps idle connections for longer than the tests look at them."""
    with make_system("forked") as system:
        flags = ["--bind", f"{HOST}:{system.port}", "--workers", "2", "--keep-alive", "60"]
        system.start("api", ["gunicorn", "system.main:app", "-k", "uvicorn_worker.UvicornWorker", *flags])
        yield system


@pytest.fixture(scope="session")
def starting_wedged(make_system: NewSystem) -> Iterator[dict[str, tuple[Running, list[str]]]]:
    """Two workers of one slot whose first ack fails, the second one without its watchdog; and three jobs for each."""
    made = {}
    with ExitStack() as stack:
        for name, env in (("watched", {}), ("unwatched", {"UNWATCHED": "1"})):
            system = stack.enter_context(make_system(name, pace=0, wedge_seconds=2))
            made[name] = system, [system.enqueue("system.divide", 1.0, 2.0) for _ in range(3)]
            env = {"WEDGE_MARK": str(system.folder / "mark"), **env}
            system.worker("worker-1", "-c", "1", module="tests.integration.wedge_worker", supervised=True, **env)
        yield made
