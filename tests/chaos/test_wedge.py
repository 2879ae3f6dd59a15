"""A worker that lives and takes no more messages: its watchdog ends it, and the API's readiness says so meanwhile."""

import pytest

from brownout import Lab, cut, get, point, post
from system.watchdog import EXIT_CODE
from tests.chaos.promises import jobs_end_once

pytestmark = pytest.mark.chaos


@pytest.mark.launch("cold")
def test_a_worker_whose_ack_was_cut_is_replaced(lab: Lab) -> None:
    """kombu keeps the prefetch credit of an ack that failed, and a worker with one credit asks for nothing any more."""
    lab.topology(env={"SYSTEM_WORKER_PATIENCE": "1.5"})
    jobs = post("/process-data", json={"n": "{n}"}, every="80ms", count=6)
    lab.load(jobs, get("/health-check/ready", every="200ms", count=60))
    lab.inject(cut(), when=point("worker-1->broker", "ZREM", nth=3, moment="after"))
    lab.promise(*jobs_end_once())
    outcome = lab.run()
    outcome.must_hold()
    history = outcome.result.history
    exits = [each.data["code"] for each in history.kind("exit") if each.source == "worker-1"]
    assert exits == [EXIT_CODE]
    told = [str(each.data.get("body")) for each in history.kind("info") if each.data.get("status") == 503]
    assert any("a worker is alive, but messages wait" in body for body in told), "readiness says why it is red"
