"""The relay: what the API could not publish is published, once within a lease, by whichever relay there is."""

import json
import re
from collections import Counter
from contextlib import closing
from datetime import datetime
from itertools import pairwise
from signal import SIGKILL, SIGTERM

import psutil

from brownout.subject.waiting import eventually
from brownout.wire import blackhole
from system.job import Request, now
from system.publisher import THREADS
from system.settings import Settings
from system.store import Store
from tests.integration.fragile import Fragile
from tests.integration.running import SLACK, NewSystem, Running
from tests.measured import measured

MILLISECOND = 0.001  # the times of log lines are cut off there


def published_within(settings: Settings) -> float:
    """The API's lease runs out, the relay looks."""
    return settings.publish_lease + settings.relay_interval + SLACK


def received_as_published(fragile: Fragile, job: str, waited: float) -> None:
    """The relay has published the job once, and once more for each `queue_patience` in which no worker started it."""
    published = fragile.said("relay", f"published job {job}")
    received = sum(fragile.said(name, f"[{job}] received") for name in ("worker-1", "worker-2"))
    assert 1 <= received <= published <= 1 + waited // fragile.settings.queue_patience


def test_what_the_api_cannot_publish_the_relay_does(fragile: Fragile) -> None:
    """One id on every hop: the API's log, the relay's, the worker's, the store's."""
    edge = fragile.edges["api->broker"]
    with fragile.frozen("relay"):
        assert fragile.ended(fragile.submit("/compute", {"n": 2}))["task_status"] == "SUCCESS", "not needed as a rule"
        edge.down()
        try:
            job, *others = [fragile.submit("/compute", {"n": 3}) for _ in range(1 + THREADS)]
            for job_id in (job, *others):
                fragile.logged("api", f"job {job_id} was not published; the relay will publish it")
        finally:
            edge.up()
        assert fragile.ended(fragile.submit("/compute", {"n": 2}))["task_status"] == "SUCCESS", "nor afterwards"
        assert fragile.status(job)["task_status"] == "PENDING", "and without a relay nobody does it"
    with measured() as span:
        assert fragile.ended(job, within=published_within(fragile.settings))["task_result"] == 2
        eventually(lambda: fragile.said("relay", f"published job {job}"), within=SLACK, what="the relay says so")
    received_as_published(fragile, job, span.wall)
    assert fragile.said("api", f"GET /task-status/{job} ") > 0
    assert fragile.effects()[job] == 1


def test_an_api_that_dies_after_its_202_loses_nothing(fragile: Fragile) -> None:
    """The publisher hangs on a black hole when the process is killed: only the outbox knows of the job."""
    edge = fragile.edges["api->broker"]

    def killed_while_it_publishes() -> str:
        """The job. Empty when the API had given up before the signal came, because this process was late."""
        fragile.ready("api")
        edge.add(blackhole())
        api = fragile.process("api")
        try:
            job = fragile.submit("/compute", {"n": 4})
            api.signal(SIGKILL)
            assert api.wait(SLACK) == -SIGKILL
            edge.reset()  # what the wire has not read yet must not go on when the black hole is gone
        finally:
            edge.heal()
        return "" if fragile.said("api", job) else job

    with measured() as span:
        job = eventually(killed_while_it_publishes, within=SLACK, what="the API is killed while it publishes")
        fragile.ready("api")
        assert fragile.ended(job, within=published_within(fragile.settings))["task_result"] == 3
        eventually(lambda: fragile.said("relay", f"published job {job}"), within=SLACK, what="the relay says so")
    received_as_published(fragile, job, span.wall)
    assert fragile.effects()[job] == 1


def test_two_relays_publish_each_job_once(new_system: NewSystem) -> None:
    """Nobody consumes, so that every message that was ever sent lies in the queue; no lease of theirs can run out."""
    system = new_system("relays", publish_lease=600, queue_patience=600).relay("relay-1").relay("relay-2").ready()
    lapsed = Store(system.settings.model_copy(update={"publish_lease": 0.001}))
    jobs: set[str] = set()

    def accept() -> str:
        job = lapsed.accept(Request("system.divide", (1.0, 2.0)))[0].id
        jobs.add(job)
        return job

    def published() -> list[str]:
        with system.server.client(system.db) as client:
            return [json.loads(message)["headers"]["id"] for message in client.lrange("celery", 0, -1)]

    def by_each() -> list[int]:
        return [system.said(name, "published job") for name in ("relay-1", "relay-2")]

    def one_more() -> bool:
        job = accept()
        eventually(lambda: job in published(), within=within, what="it is published")
        return min(by_each()) > 0

    within = system.settings.relay_interval + SLACK
    with closing(lapsed):
        eventually(
            one_more, within=within, what="both have a part in it: who has published sleeps, and the other looks"
        )
        for _ in range(50):  # faster than they look, so that both want the same ones
            accept()
    eventually(lambda: set(published()) == jobs, within=within, what="all are published")
    assert max(Counter(published()).values()) == 1
    eventually(lambda: sum(by_each()) == len(jobs), within=SLACK, what="each says what it did")


def test_a_relay_waits_an_outage_of_the_broker_out(fragile: Fragile) -> None:
    """It finds the broker gone when it wants to publish, and is the same process afterwards."""
    relay = fragile.process("relay").pid
    edges = [fragile.edges[name] for name in ("api->broker", "worker->broker")]
    for edge in edges:
        edge.down()
    try:
        before = fragile.said("relay", "the relay waits, ")
        job = fragile.submit("/compute", {"n": 6})
        bound = published_within(fragile.settings)
        eventually(lambda: fragile.said("relay", "the relay waits, ") > before, within=bound, what="the relay waits")
    finally:
        for edge in edges:
            edge.up()
    assert fragile.ended(job)["task_result"] == 8
    assert fragile.process("relay").pid == relay


def test_what_the_api_has_just_accepted_is_its_own(new_system: NewSystem) -> None:
    """As long as its lease lasts, the relay publishes what came later and leaves that alone."""
    system = new_system("leased", publish_lease=600).relay().ready()
    own = system.app.store.accept(Request("system.divide", (1.0, 2.0)))[0].id
    with closing(Store(system.settings.model_copy(update={"publish_lease": 0.001}))) as lapsed:
        other = lapsed.accept(Request("system.divide", (1.0, 4.0)))[0].id
    system.logged("relay", f"published job {other}")
    assert system.said("relay", own) == 0


def test_a_job_that_cannot_be_sent_holds_up_no_other(new_system: NewSystem) -> None:
    system = new_system("unknown", publish_lease=0.1).relay().ready()
    for name in ("no.such.task", "system.divide"):
        system.app.store.accept(Request(name, (1.0, 2.0)))
    system.logged("relay", "(system.divide, PENDING)")
    assert system.said("relay", "(no.such.task) can't be published") >= 1
    unknown = "select starts from jobs where task = 'no.such.task'"
    eventually(lambda: system.rows(unknown) == [(1,)], within=SLACK, what="the job is not published for ever")
    assert system.process("relay").alive


def test_a_result_backend_that_is_away_stops_no_publishing(fragile: Fragile) -> None:
    """The store has the results: nobody who publishes a job needs the backend."""
    edge = fragile.edges["worker->backend"]
    edge.down()
    try:
        with fragile.frozen("relay"):
            assert fragile.ended(fragile.submit("/compute", {"n": 7}))["task_result"] == 13
    finally:
        edge.up()


def test_a_job_that_runs_is_not_published_again(new_system: NewSystem) -> None:
    """It takes longer than a job may wait for its start: the worker's lease is as long as the longest run.

    The relay starts after the job, so the job is never late for its start, and the job is stopped until the relay has
    looked for late ones.
    """
    limits = {"soft_time_limit": 100, "time_limit": 110, "visibility_timeout": 200}  # none passes meanwhile
    system = new_system("long", pace=1, queue_patience=0.5, **limits).worker("worker-1", "-c", "1").ready()
    job = system.enqueue("system.process_data", {})
    eventually(lambda: state(system, job) == "STARTED", within=SLACK, what="the job starts")
    late = now() + system.settings.queue_patience
    (child,) = psutil.Process(system.process("worker-1").pid).children()
    child.suspend()
    try:
        system.relay().ready("relay")
        eventually(lambda: seen(system) > late, within=SLACK, what="the relay looks")
        looked = seen(system)
        eventually(lambda: seen(system) > looked, within=SLACK, what="the relay has looked")
        assert state(system, job) == "STARTED"
    finally:
        child.resume()
    assert system.job_ended(job).state == "SUCCESS"
    assert system.said("worker-1", f"[{job}] received") == 1
    assert system.said("relay", f"published job {job}") == 0


def state(system: Running, job_id: str) -> str:
    """Of a job, as the store has it."""
    job = system.app.store.job(job_id)
    assert job is not None
    return job.state.value


def seen(system: Running) -> float:
    """When the relay last began to look for late jobs (seconds since the epoch)."""
    return float(system.rows("select at from seen where name = 'relay'")[0][0])


def test_a_job_without_progress_is_published_again_later_each_time(new_system: NewSystem) -> None:
    """Each message is lost. The relay says when it has published, and counts the pause from then on."""
    patience, times = 0.2, 4
    system = new_system("patient", publish_lease=0.05, queue_patience=patience).relay().ready()
    job = system.app.store.accept(Request("system.divide", (1.0, 2.0)))[0].id
    line = re.compile(rf"^\[([^:]+:\d+:\d+,\d+): .* published job {job} ", re.MULTILINE)

    def published() -> list[datetime]:
        with system.server.client(system.db) as client:
            client.delete("celery")
        found = line.findall(system.log("relay").read_text())
        return [datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f") for at in found]

    bound = 2**times * patience + SLACK
    eventually(lambda: len(published()) >= times, within=bound, what=f"the job is published {times} times")
    pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(published())][: times - 1]
    least = [patience * 2**number - MILLISECOND for number in range(times - 1)]
    assert all(pause >= bound for pause, bound in zip(pauses, least, strict=True)), f"{pauses}: later each time"


def test_a_relay_that_is_told_to_end_finishes_its_sweep(new_system: NewSystem) -> None:
    relay = new_system("told").relay().ready().process("relay")
    relay.signal(SIGTERM)
    assert relay.wait(SLACK) == 0
