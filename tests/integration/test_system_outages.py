"""Redis goes away and comes back: the API lives, says so, accepts, and everything that it accepted is done."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from brownout.subject.waiting import eventually
from brownout.wire import blackhole, half_open
from system.celery_app import make_celery
from system.job import now
from system.settings import Settings
from system.tables import CONSUMING
from system.watchdog import CHECK_SECONDS
from tests.integration.fragile import Fragile
from tests.integration.running import SLACK, Running
from tests.measured import measured

Outage = Callable[[Fragile], AbstractContextManager[None]]


def red_within(settings: Settings) -> float:
    """The monitor's promise (`BrokerMonitor.up`), and what a busy machine adds."""
    return settings.monitor_seconds + 2 * settings.broker_timeout + SLACK


def green_within(settings: Settings) -> float:
    return settings.monitor_seconds + settings.broker_timeout + SLACK


def readiness(system: Running) -> int:
    return system.http.get("/health-check/ready").status_code


@contextmanager
def killed(system: Fragile) -> Iterator[None]:
    system.server.kill()
    yield
    system.restart_redis()


@contextmanager
def stopped(system: Fragile) -> Iterator[None]:
    system.server.pause()
    try:
        yield
    finally:
        system.server.resume()


@contextmanager
def full(system: Fragile) -> Iterator[None]:
    """Redis takes no further connection; those that it has go on."""
    with system.server.client() as client:
        before = client.config_get("maxclients")["maxclients"]
        client.config_set("maxclients", 1)
        try:
            yield
        finally:
            client.config_set("maxclients", before)


@pytest.mark.parametrize("outage", [killed, stopped, full])
def test_an_outage_of_redis_is_told_and_survived(fragile: Fragile, outage: Outage) -> None:
    settings = fragile.settings
    failed = fragile.submit("/divide", {"x": 1, "y": 0})
    fragile.ended(failed)
    before = fragile.http.get(f"/task-status/{failed}").content
    with outage(fragile):
        eventually(lambda: readiness(fragile) == 503, within=red_within(settings), what="readiness turns red")
        assert fragile.http.get("/health-check/ready").json()["parts"] == {"store": "up", "broker": "down"}
        assert fragile.http.get("/health-check").status_code == 200, "liveness stays green"
        jobs = [fragile.submit("/process-data", {"n": n}) for n in range(4)]
        assert {fragile.status(job)["task_status"] for job in jobs} <= {"PENDING", "STARTED", "SUCCESS"}
        assert readiness(fragile) == 503, "and all of that while it was red"
    eventually(lambda: readiness(fragile) == 200, within=green_within(settings), what="readiness turns green")
    for job in jobs:
        assert fragile.ended(job)["task_status"] == "SUCCESS"
        assert fragile.effects()[job] == 1
    assert fragile.http.get(f"/task-status/{failed}").content == before, "what was final stayed as it was, to the byte"


def test_an_outage_ends_the_watch_of_no_worker(fragile: Fragile) -> None:
    """The watchdogs look while Redis is silent, and tell the job store after it that the workers take messages."""

    def silence() -> float:
        ((told,),) = fragile.rows("select at from seen where name = ?", CONSUMING)
        return now() - float(told)

    both_have_looked = 2 * (CHECK_SECONDS + fragile.settings.broker_timeout)
    eventually(lambda: silence() < CHECK_SECONDS, within=SLACK, what="the workers take messages")
    with stopped(fragile):
        bound = both_have_looked + SLACK
        eventually(lambda: silence() > both_have_looked, within=bound, every=0.05, what="no worker takes messages")
    eventually(lambda: silence() < CHECK_SECONDS, within=SLACK, every=0.05, what="a worker takes messages again")


def test_a_silent_connection_is_replaced_and_no_worker_is_started_again(fragile: Fragile) -> None:
    """Both workers wait for messages on connections that will never bring one; kombu's health check finds out."""
    before = {name: part.restarts for name, part in fragile.supervisors().items()}
    edge = fragile.edges["worker->broker"]
    edge.add(half_open())
    try:
        assert fragile.ended(fragile.submit("/compute", {"n": 5}))["task_result"] == 5
    finally:
        edge.heal()
    assert {name: part.restarts for name, part in fragile.supervisors().items()} == before, (
        "the watchdog was not needed"
    )


def test_waiting_for_a_result_is_bounded_and_it_can_be_read_later(fragile: Fragile) -> None:
    """`AsyncResult.get` while the backend is a black hole; then the same result, to the byte, after a restart."""
    good, bad = (fragile.app.tasks["system.divide"].delay(1, y) for y in (2, 0))
    assert good.get(timeout=2 * SLACK) == 0.5
    with pytest.raises(ZeroDivisionError):
        bad.get(timeout=2 * SLACK)

    def stored() -> dict[str, bytes | None]:
        with fragile.server.client(db=1) as client:
            return {task.id: client.get(f"celery-task-meta-{task.id}") for task in (good, bad)}

    before = stored()
    edge = fragile.edges["worker->backend"]
    edge.add(blackhole())
    try:
        with (
            measured() as span,
            make_celery(fragile.settings) as app,
            pytest.raises(RuntimeError, match="Retry limit exceeded"),
        ):
            app.AsyncResult(good.id).get(timeout=1)
        assert span.least < 1 + fragile.settings.broker_timeout + SLACK
    finally:
        edge.heal()
    fragile.restart_redis()
    fragile.ready()
    assert stored() == before
    with make_celery(fragile.settings) as app:
        assert app.AsyncResult(good.id).get(timeout=SLACK) == 0.5
        with pytest.raises(ZeroDivisionError, match="division by zero"):
            app.AsyncResult(bad.id).get(timeout=SLACK)
