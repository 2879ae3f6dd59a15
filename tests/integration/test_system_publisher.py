"""The API's publisher, between the answer 202 and the broker: what it does when Redis is silent or refuses, and when
the API is told to end. There is no relay here: what the publisher leaves to the relay stays where it is."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from signal import SIGTERM

import httpx
import pytest

from brownout.subject.servers import ladder
from brownout.subject.servers.redis_server import RedisServer
from brownout.subject.waiting import eventually
from system.intake import FEW
from system.job import now
from system.publisher import CAPACITY, THREADS
from tests.conftest import NewDatabase
from tests.integration.running import SLACK, Running, settings

LEASE = 1.0  # s for which the API owns a job, where that matters
HELD = 1.0  # s for which Redis is silent during a shutdown, of the five that the publisher has
BODY = {"x": 1, "y": 2}


@pytest.fixture(scope="module")
def both(
    redis_rung: ladder.Rung, tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase
) -> Iterator[tuple[Running, Running]]:
    """Two APIs on a Redis of their own: with the publisher's lease of an hour, and of a second."""
    with ladder.server(redis_rung) as server, ExitStack() as stack:
        made = []
        for db, lease in ((0, 3_600.0), (2, LEASE)):
            folder = tmp_path_factory.mktemp("publisher")
            # No publish gives up because Redis is silent for as long as a test takes.
            limits = {"broker_timeout": 8 * SLACK, "publish_lease": lease, "backlog_limit": 10 * CAPACITY}
            given = settings(folder, server.url(db), server.url(db + 1), **limits, **new_database())
            made.append(stack.enter_context(Running(folder, given, server)).api())
        yield made[0], made[1]


def alive(system: Running) -> Running:
    """This system with an API that runs."""
    if "api" not in system.parts or not system.process("api").alive:
        system.api()
    return system.ready()


@contextmanager
def silent(server: RedisServer) -> Iterator[None]:
    """Redis is stopped within the block: its connections are open, and it answers nothing."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


def published(system: Running) -> set[str]:
    """The jobs whose messages wait in the queue."""
    with system.server.client(system.db) as client:
        return {json.loads(message)["headers"]["id"] for message in client.lrange("celery", 0, -1)}


def test_a_publish_that_fails_is_not_repeated_within_the_api(both: tuple[Running, Running]) -> None:
    """Redis has no memory left and refuses. Kombu would connect and try again, in the thread that publishes."""
    system = alive(both[0])
    first = system.submit("/divide", BODY)
    eventually(lambda: first in published(system), within=SLACK, what="the publisher knows its queue")
    with system.server.client(system.db) as client:

        def refused() -> int:
            return sum(command.get("rejected_calls", 0) for command in client.info("commandstats").values())

        before = refused()
        client.config_set("maxmemory", 1)
        try:
            job = system.submit("/divide", BODY)
            system.logged("api", f"job {job} was not published; the relay will publish it")
        finally:
            client.config_set("maxmemory", 0)
        assert refused() - before == 1, "one attempt, and no more"


def test_a_job_whose_lease_is_over_is_left_to_the_relay(both: tuple[Running, Running]) -> None:
    """Both threads wait for Redis with one job each. Before they come to the other jobs, a relay may have them."""
    system = alive(both[1])
    with silent(system.server):
        jobs = [system.submit("/divide", BODY) for _ in range(THREADS + 3)]
        over = now() + LEASE
        eventually(lambda: now() > over, within=SLACK, what="the leases are over")

    def one_more_is_published() -> bool:
        """False when a busy machine took longer than the lease of this job."""
        job = system.submit("/divide", BODY)
        over = now() + LEASE
        eventually(lambda: job in published(system) or now() > over, within=SLACK, what="the job had its time")
        return job in published(system)

    eventually(one_more_is_published, within=SLACK, what="the publisher goes on")
    assert len(published(system) & set(jobs)) <= THREADS, "the relay's jobs are left to the relay"


def test_a_full_publisher_does_not_hold_the_api_up(both: tuple[Running, Running]) -> None:
    """More jobs than the publisher takes, while Redis is silent. No more come together than the API publishes."""
    system, count = alive(both[1]), CAPACITY + THREADS + 3 * FEW

    def submit(_: int) -> int:
        return system.http.post("/divide", json=BODY).status_code

    try:
        with silent(system.server), ThreadPoolExecutor(FEW) as clients:
            answers = list(clients.map(submit, range(count)))
    except httpx.ReadTimeout:
        pytest.fail("a full publisher holds the API up")
    assert answers == [202] * count


def test_what_waits_is_published_when_the_api_is_told_to_end(both: tuple[Running, Running]) -> None:
    late = "some jobs were not published; the relay will publish them"

    def all_are_published() -> bool:
        """False when a busy machine took longer than the publisher has, which the API says."""
        system, told = alive(both[0]), both[0].said("api", late)
        api, begun = system.process("api"), system.said("api", "Waiting for application shutdown")
        with silent(system.server):
            jobs = [system.submit("/divide", BODY) for _ in range(THREADS + 8)]
            api.signal(SIGTERM)
            eventually(
                lambda: system.said("api", "Waiting for application shutdown") > begun,
                within=SLACK,
                what="the API shuts down",
            )
            ended = api.handle.ended(HELD)
        api.wait(SLACK)
        if system.said("api", late) > told:
            return False
        assert not ended, "the API waits for its publisher"
        assert set(jobs) <= published(system), "what waited is published"
        return True

    eventually(all_are_published, within=2 * SLACK, what="the publisher ends in time")
