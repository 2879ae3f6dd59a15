"""Each part of the system that keeps a promise is taken out once, and a scenario must show what it kept away.

The promises are those of the other scenarios; here one of them must break, with the anomaly that is named.
"""

from dataclasses import replace
from functools import partial

import pytest

from brownout import (
    Application,
    Lab,
    at_least_once,
    attempts_within,
    effect,
    effectively_once,
    event,
    kill,
    latency,
    must_show,
    nothing_stuck,
    post,
    refuse,
    started,
    stop,
    submit,
    vanish,
)
from tests.chaos.conftest import settings
from tests.chaos.promises import published_in_time
from tests.chaos.service import Service
from tests.chaos.test_broker import half_open_publishers
from tests.chaos.test_points import evicted_queue

pytestmark = pytest.mark.chaos
JOBS = post("/process-data", json={"n": "{n}"}, every="80ms", count=20)


@pytest.fixture
def application(application: Application, request: pytest.FixtureRequest) -> Application:
    return replace(application, **getattr(request, "param", {}))


def taken_out(**parts: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("application", [parts], indirect=True, ids=["taken-out"])


def refused_while_jobs_come(lab: Lab) -> None:
    """The API cannot publish after its second task has begun, for so long that it gives up what it accepted meanwhile.

    redis-py's retries of a connect, and their random pauses, may bridge an outage that is shorter than the lease.
    """
    enough = event("ok", "client", nth=4, delay=settings().publish_lease)
    lab.load(replace(JOBS, count=4), replace(JOBS, count=16).on(event("fault-acted", "nemesis")))
    lab.inject(refuse(), on="api->broker", when=started(nth=2), heal=enough)


@taken_out(api="tests.chaos.without.outbox:app")
def test_without_the_outbox_a_refused_publish_loses_the_job(lab: Lab) -> None:
    refused_while_jobs_come(lab)
    lab.promise(must_show("lost", under=at_least_once()))
    lab.run().must_hold()


@taken_out(api="tests.chaos.without.outbox_and_thread:app")
def test_without_the_outbox_a_killed_api_loses_what_it_has_recorded(lab: Lab) -> None:
    """It dies between the commit and the publish: no client has an answer, and the system's own store has the job."""
    lab.load(replace(JOBS, count=3), replace(JOBS, count=4).on(event("ok", "client", nth=3)))
    lab.inject(vanish(), on="api->broker", when=event("ok", "client", nth=3), heal=event("exit", "api"))
    lab.inject(kill(), on="api", when=event("accepted", "store", nth=5))
    lab.promise(must_show("lost", under=at_least_once()))
    lab.run().must_hold()


@pytest.mark.parametrize("wire", [pytest.param(w, marks=pytest.mark.wire(w)) for w in ("builtin", "toxiproxy")])
def test_without_the_relay_a_refused_publish_loses_the_job(lab: Lab, wire: str) -> None:
    lab.topology(relay=False)
    refused_while_jobs_come(lab)
    lab.promise(must_show("lost", under=at_least_once()))
    lab.run().must_hold()


def test_without_the_relay_an_evicted_queue_loses_its_jobs(lab: Lab) -> None:
    lab.topology(relay=False)
    evicted_queue(lab)
    lab.promise(must_show("lost", under=at_least_once()))
    lab.run().must_hold()


@pytest.mark.launch("cold")
@taken_out(celery="tests.chaos.without.key")
def test_without_its_key_an_effect_is_done_twice(lab: Lab) -> None:
    lab.topology(env={"SYSTEM_PACE": "0.2"})  # a second each, so that it stands still in the middle of one
    lab.workers(2)
    lab.load(post("/process-data", json={"n": "{n}"}, every="80ms", count=6))
    again = event("ended", "worker-2", redelivered=True, name="system.process_data")
    lab.inject(stop(), on="worker-1", when=started(source="worker-1", nth=2, delay="300ms"), heal=again)
    lab.drain("60s")
    lab.promise(must_show("duplicate", under=effectively_once()))
    lab.run().must_hold()


@taken_out(celery="tests.chaos.without.final_state")
def test_without_a_look_at_the_state_a_job_that_is_done_says_started_for_ever(lab: Lab) -> None:
    """Its worker dies between the effect and the ack. The way to the API is slow, is healed, and the status is read."""
    lab.load(replace(JOBS, count=8))
    lab.inject(kill(), on="worker-1", when=effect(nth=4))
    lab.inject(latency("300ms"), on="client->api", when=effect())
    lab.promise(must_show("stuck", under=nothing_stuck()))
    lab.run().must_hold()


@taken_out(celery="tests.chaos.without.late_acks")
def test_without_late_acks_a_dead_worker_takes_its_task_along(lab: Lab) -> None:
    lab.topology(env={"SYSTEM_PACE": "0.2"})  # a second each, to be killed well after the early ack
    lab.load(submit("system.divide", 1, 2, every="80ms", count=4))
    lab.inject(kill(), on="worker-1", when=started(nth=2, delay="300ms"))
    lab.promise(must_show("lost", under=at_least_once()))
    lab.run().must_hold()


@taken_out(api="tests.chaos.without.socket_timeout:app", relay=("tests.chaos.without.socket_timeout",))
def test_without_socket_timeouts_silence_stops_all_publishing(lab: Lab) -> None:
    half_open_publishers(lab)
    lab.promise(must_show("late", under=published_in_time()))
    lab.run().must_hold()


@taken_out(celery="tests.chaos.without.retry_limit")
def test_without_the_retry_limit_a_service_that_stays_down_is_called_for_ever(lab: Lab) -> None:
    lab.services(service=partial(Service, failures=1_000))
    lab.topology(env={"SYSTEM_SERVICE_URL": "{service}"})
    lab.load(post("/deliver", json={"n": "{n}"}, every="100ms", count=2))
    lab.inject(kill(), on="worker-1", when=started(nth=2))
    lab.drain("16s")
    lab.promise(must_show("overtried", under=attempts_within(settings().max_retries)))
    lab.run().must_hold()
