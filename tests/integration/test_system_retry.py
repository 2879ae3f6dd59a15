"""Deliveries to an unreliable outside service: real countdowns, real attempts."""

import re
from itertools import pairwise

from brownout.subject.waiting import eventually
from tests.integration.outside import OutsideService
from tests.integration.running import SLACK, Running


def test_deliveries_are_tried_again_until_they_work_or_are_given_up(calm: Running, outside: OutsideService) -> None:
    """Each countdown is 0 or 1 s by lot (full jitter, backoff_max=1), so that ten jobs show RETRY all but surely."""
    retries = calm.settings.max_retries
    good = [calm.submit("/deliver", {"item": n, "failures": 2}) for n in range(9)]
    hopeless = calm.submit("/deliver", {"failures": retries + 1})
    refused = calm.submit("/deliver", {"status": 400})
    dropped = calm.submit("/deliver", {"drops": 1})
    jobs = {*good, hopeless, refused, dropped}
    states: set[str] = set()

    def all_final() -> bool:
        found = {job: calm.status(job)["task_status"] for job in jobs}
        states.update(found.values())
        return set(found.values()) <= {"SUCCESS", "FAILURE"}

    bound = retries * calm.settings.backoff_max + SLACK
    eventually(all_final, within=bound, every=0.05, what="all deliveries end")
    assert "RETRY" in states, "the waiting for the next attempt can be seen"

    for job in good:
        assert (calm.status(job)["attempts"], calm.status(job)["task_result"]) == (3, 200)
        assert [call.status for call in outside.calls[job]] == [503, 503, 200], (
            "each call bears the job's id as its key"
        )
        assert calm.effects()[job] == 1
    given_up = calm.status(hopeless)
    assert (given_up["task_status"], given_up["attempts"]) == ("FAILURE", retries + 1)
    assert given_up["error"] == {"type": "ServiceBusy", "message": "the service answered 503"}
    assert len(outside.calls[hopeless]) == retries + 1
    assert [call.status for call in outside.calls[dropped]] == [0, 200], "a connection that breaks is transient"
    assert calm.status(refused)["error"]["type"] == "HTTPStatusError"
    assert len(outside.calls[refused]) == 1, "what can't get better is not tried again"

    log, longest, shortest = calm.log("worker-1").read_text(), 0.0, SLACK
    for job in good:
        countdowns = [float(found) for found in re.findall(rf"\[{job}\] retry: Retry in ([\d.]+)s", log)]
        times = [call.at for call in outside.calls[job]]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert len(countdowns) == 2
        longest, shortest = max(longest, *countdowns), min(shortest, *countdowns)
        assert all(gap >= countdown for gap, countdown in zip(gaps, countdowns, strict=True)), (gaps, countdowns)
    assert longest == calm.settings.backoff_max, "eighteen times 0 has a chance of 1 in 262,144"
    assert shortest == 0, "and so has eighteen times 1"


def test_a_dead_letter_is_driven_again_with_its_key(calm: Running, outside: OutsideService) -> None:
    """The service is busy for two attempts longer than the job has attempts, so the job needs a retry again."""
    attempts = calm.settings.max_retries + 1
    job = calm.submit("/deliver", {"failures": attempts + 1})
    assert calm.ended(job)["task_status"] == "FAILURE"
    (letter,) = [each for each in calm.http.get("/dead-letters").json()["dead_letters"] if each["task_id"] == job]
    assert (letter["reason"], letter["attempts"], letter["error"]["type"]) == ("retries", attempts, "ServiceBusy")
    assert calm.http.post(f"/dead-letters/{job}/redrive").status_code == 202
    end = calm.ended(job)
    assert (end["task_status"], end["attempts"]) == ("SUCCESS", attempts + 2)
    assert calm.effects()[job] == 1
    assert [call.status for call in outside.calls[job]] == [503] * (attempts + 1) + [200], (
        "each call has the job's id as key"
    )
    assert job not in calm.http.get("/dead-letters").text


def test_a_message_that_comes_again_calls_the_service_no_more(calm: Running, outside: OutsideService) -> None:
    """The relay, Redis or kombu may send a message twice; the store says that the job is done."""
    job = calm.submit("/deliver", {"item": "once"})
    assert calm.ended(job)["task_status"] == "SUCCESS"
    done = calm.app.store.job(job)
    assert done is not None
    calm.publish(done)
    calm.logged("worker-1", f"[{job}] received", times=2)
    with calm.server.client(calm.db) as client:
        eventually(lambda: client.hlen("unacked") == 0, within=SLACK, what="the second message is acknowledged")
    assert [call.status for call in outside.calls[job]] == [200]
    assert calm.status(job)["task_status"] == "SUCCESS"
