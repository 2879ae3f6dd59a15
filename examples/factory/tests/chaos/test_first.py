"""A first scenario, written by `brownout init`: the worker is killed in the middle of a task.

It is red where a killed worker takes its task along, as Celery's defaults do. `brownout lint` says what mends it.
"""

import pytest

from brownout import Application, Lab, at_least_once, kill, post, started


@pytest.fixture(scope="session")
def application() -> Application:
    return Application(
        celery="shop.celery_app",
        api="shop.web:create_app()",
        ready="/health",
        status="/api/v1/shipments/{task}",
        env={"CELERY_BROKER_URL": "{broker}", "CELERY_RESULT_BACKEND": "{backend}"},
    )


@pytest.mark.chaos
def test_a_killed_worker_loses_nothing(lab: Lab) -> None:
    lab.load(post("/api/v1/shipments", json={"order_id": 1}, every="2s", count=3))
    lab.inject(kill(children=True), on="worker-1", when=started(nth=2, delay="100ms"))
    # "ended": the tasks record no effect that brownout could read. "accounting": what is nowhere is lost at once.
    lab.promise(at_least_once(proof="ended", accounting=True))
    lab.run().must_hold()
