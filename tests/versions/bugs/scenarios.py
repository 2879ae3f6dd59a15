"""Four bugs of old versions of Celery and kombu, each as a scenario that is red on the old version alone.

    pytest tests/versions/bugs/scenarios.py -k consumes --chaos-python ENVIRONMENT

docs/evidence/versions.md has the versions and what was seen.
"""

from __future__ import annotations

import pytest

from brownout import (
    Application,
    Lab,
    after,
    at_least_once,
    cut,
    drained,
    event,
    hold,
    point,
    recovers,
    refuse,
    started,
    submit,
    terminate,
)

pytestmark = pytest.mark.chaos
FOLDER = "tests/versions/bugs"
ENV = {"CELERY_BROKER_URL": "{broker}"}
PROBES = submit("shop.sleep", 0, every="200ms", count=3)


@pytest.fixture(scope="session")
def application() -> Application:
    return Application(celery="shop", env=ENV, folders={"worker": FOLDER})


def test_a_worker_consumes_after_two_refusals(lab: Lab) -> None:
    """kombu#2007: what is left of a refused attempt to reconnect takes the new connection out of the event loop.

    It does so when Python collects its garbage after the reconnect, and not before. Celery calls the collector whenever
    it starts a pool process; shop.py leaves the rest of the collections out.
    """
    work, more = submit("shop.sleep", 1, every="200ms", count=2), submit("shop.sleep", 0, every="2s", count=6)
    lab.workers(options=("--max-tasks-per-child=1",))
    lab.load(work, work.on(event("fault-stop", "nemesis")), more.on(event("fault-stop", "nemesis", nth=2)))
    for n in (1, 2):
        lab.inject(refuse(), on="worker-1->broker", when=started(nth=2 * n), heal=after("500ms"))
    lab.promise(recovers(within="45s", proof="ended"))  # Celery may take 5 s to start the next pool process
    lab.drain("60s")
    lab.run().must_hold()


def test_a_warm_shutdown_loses_no_message(lab: Lab) -> None:
    """kombu#1733: a message that arrives while the worker shuts down is neither done nor put back."""
    lab.load(submit("shop.sleep", 0, every="500ms", count=1), PROBES.on(event("fault-stop", "nemesis", nth=1)))
    # The worker's loop notices SIGTERM when its next timer is due, which may take some seconds.
    noticed = event("shutting-down", "worker-1", delay="8s")
    lab.inject(hold(), when=point("worker-1->broker", "BRPOP", moment="after"), heal=noticed)
    lab.inject(terminate(grace="30s"), on="worker-1", when=event("fault-start", "nemesis"), heal=after("2s"))
    lab.promise(at_least_once(proof="ended", accounting=True), drained())
    lab.run().must_hold()


def test_no_pool_process_idles_behind_a_long_task(lab: Lab) -> None:
    """celery#7515: after a reconnect short tasks wait behind the long one, although a pool process is free."""
    lab.workers(concurrency=2)
    lab.load(PROBES.on(event("fault-stop", "nemesis")), submit("shop.sleep", 20, every="1s", count=1))
    lab.inject(cut(), on="worker-1->broker", when=started(), heal=after("1s"))
    lab.promise(recovers(within="10s", proof="ended"))
    lab.run().must_hold()


def test_a_time_limit_outlives_a_reconnect(lab: Lab) -> None:
    """celery#10218: a task that runs during a reconnect loses its time limit."""
    long = submit("shop.sleep", 40, every="1s", count=1).with_options(time_limit=8)
    lab.load(PROBES.on(event("fault-stop", "nemesis")), long)
    lab.inject(cut(), on="worker-1->broker", when=started(), heal=after("1s"))
    lab.promise(recovers(within="20s", proof="ended"))
    lab.run().must_hold()
