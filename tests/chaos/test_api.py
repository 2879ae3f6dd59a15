"""The API goes on answering, whatever the broker does, and dies without losing what it accepted."""

import pytest

from brownout import (
    Fault,
    Lab,
    after,
    answers,
    at,
    blackhole,
    cut,
    event,
    get,
    kill,
    latency,
    limit_data,
    loop_never_stalls,
    nothing_raised,
    p99,
    post,
    received,
    refuse,
    vanish,
)
from tests.chaos.promises import jobs_end_once

pytestmark = pytest.mark.chaos


@pytest.mark.alone
@pytest.mark.parametrize("outage", [refuse(), blackhole(), latency("2s")], ids=str)
def test_the_api_keeps_breathing(lab: Lab, outage: Fault) -> None:
    """During an outage of its broker the API answers as before it: neither its loop nor a request waits."""
    lab.load(get("/health-check", every="20ms"), post("/process-data", json={"n": "{n}"}, every="200ms"), lasting="4s")
    lab.inject(outage, on="api->broker", when=event("ok", "client", nth=60, path="/health-check"), heal=after("2500ms"))
    lab.promise(*jobs_end_once(), answers({202}, within="2s", path="/process-data"), nothing_raised())
    lab.promise(loop_never_stalls("100ms"), p99("/health-check", times=3, floor="50ms"))
    lab.run().must_hold()


@pytest.mark.launch("cold")
def test_the_api_dies_between_the_commit_and_the_answer(lab: Lab) -> None:
    """The job is recorded, its client never learns it; it is done all the same, once."""
    lab.load(post("/process-data", json={"n": "{n}"}, every="150ms", count=10))
    lab.inject(latency("400ms", stream="downstream"), on="client->api", when=at("0s"))
    lab.inject(kill(), on="api", when=received(nth=3))
    lab.promise(*jobs_end_once())
    lab.run().must_hold()


@pytest.mark.parametrize("fault", [cut(), limit_data(100, stream="downstream")], ids=str)
def test_clients_disconnect(lab: Lab, fault: Fault) -> None:
    """A client that goes in the middle of an answer leaves a job that ends once, or none."""
    lab.load(post("/process-data", json={"n": "{n}"}, every="60ms", count=16))
    lab.inject(
        latency("300ms", stream="downstream"), on="client->api", when=at(0)
    )  # so that some answers are on their way
    lab.inject(fault, on="client->api", when=received(nth=3), heal=after("500ms"))
    lab.promise(*jobs_end_once(), nothing_raised())
    lab.run().must_hold()


def test_lost_publish_replies_never_run_a_job_twice(lab: Lab) -> None:
    """Redis has the message, the API never hears so, and the relay publishes it again; the key absorbs the second."""
    lab.load(post("/process-data", json={"n": "{n}"}, every="100ms", count=10))
    lab.inject(vanish(stream="downstream"), on="api->broker", when=received(nth=2), heal=after("2s"))
    lab.promise(*jobs_end_once(), answers({202}, within="2s", path="/process-data"))
    lab.run().must_hold()
