"""Orderly change under load: parts are asked to end (SIGTERM), and workers of two releases run side by side."""

import signal
from dataclasses import replace

import pytest

from brownout import Application, Fault, Lab, after, answers, event, post, started, terminate
from brownout.history.view import History
from system.engines import WAIT_SECONDS
from tests.chaos.promises import jobs_end_once
from tests.chaos.store_faults import locked
from tests.chaos.test_taken_out import refused_while_jobs_come

pytestmark = pytest.mark.chaos
JOB = post("/process-data", json={"n": "{n}"}, every="80ms", count=8)


@pytest.fixture
def application(application: Application, request: pytest.FixtureRequest) -> Application:
    return replace(application, **getattr(request, "param", {}))


def begun(history: History, fault: Fault) -> int:
    """When this fault struck."""
    (start,) = [each for each in history.kind("fault-start") if each.data["fault"] == str(fault)]
    return start.at


@pytest.mark.launch("cold")
def test_an_api_that_is_asked_to_end_answers_what_it_has_received(lab: Lab) -> None:
    """Requests wait for the store's lock when SIGTERM comes: each gets its 202 in time, and its job is done."""
    end = terminate()
    lab.load(JOB, replace(JOB, count=4, every=0.02).on(event("fault-acted", "nemesis")))
    lab.inject(locked(), on="store", when=started(nth=3), heal=after("2s"))
    lab.inject(end, on="api", when=event("fault-acted", "nemesis", delay="800ms"))
    lab.promise(*jobs_end_once())
    outcome = lab.run()
    outcome.must_hold()
    history = outcome.result.history
    struck = begun(history, end)
    ends = {each.key: each for each in history.kind("ok", "fail", "info") if each.key}
    waiting = [each.key for each in history.kind("invoke") if each.at < struck < ends[str(each.key)].at]
    assert waiting, "no request waited when the API was asked to end"
    assert {ends[str(key)].data.get("status") for key in waiting} == {202}
    assert all(ends[str(key)].at - struck < 2 * WAIT_SECONDS * 1e9 for key in waiting)
    (exit,) = [each for each in history.kind("exit") if each.source == "api"]
    # uvicorn raises the signal again when it has shut down; an API that did not end by itself was killed by SIGKILL.
    assert exit.data["code"] in (0, -signal.SIGTERM)


@pytest.mark.launch("cold")
def test_a_relay_that_is_asked_to_end_finishes_its_sweep(lab: Lab) -> None:
    """The API can't publish most jobs: they are the relay's, and its successor's."""
    refused_while_jobs_come(lab)
    lab.inject(terminate(), on="relay", when=started(nth=7))
    lab.promise(*jobs_end_once(), answers({202}, within="4s", path="/process-data"))
    outcome = lab.run()
    outcome.must_hold()
    (exit,) = [each for each in outcome.result.history.kind("exit") if each.source == "relay"]
    assert exit.data["code"] == 0


@pytest.mark.launch("cold")
@pytest.mark.parametrize("application", [{"celery": "tests.chaos.releases"}], indirect=True, ids=["two-releases"])
def test_an_old_worker_that_does_not_know_a_task_loses_no_job(lab: Lab) -> None:
    """Celery acknowledges and drops what a worker does not know. The old worker takes messages until it is replaced."""
    lab.workers(2)
    lab.load(replace(JOB, count=12))
    lab.inject(terminate(), on="worker-1", when=event("unknown", "worker-1", nth=6))
    lab.promise(*jobs_end_once())
    outcome = lab.run()
    outcome.must_hold()
    assert len(outcome.result.history.kind("unknown")) >= 6
