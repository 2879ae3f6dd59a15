"""The job store fails: locked, full, slow, away, silent, or with a process stopped in the middle of a transaction.

On SQLite by default, on PostgreSQL in the environment `postgres`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest

from brownout import (
    Application,
    Fault,
    Lab,
    Promise,
    after,
    answers,
    at_least_once,
    cut,
    event,
    point,
    post,
    started,
)
from brownout.history.view import History
from system.engines import WAIT_SECONDS
from tests.chaos.conftest import few_at_once
from tests.chaos.promises import bound, jobs_end_once
from tests.chaos.store_faults import (
    blackhole_store,
    end_store,
    full_disk,
    locked,
    no_connections,
    refuse_store,
    slow_commits,
    stop_in_transaction,
)
from tests.chaos.stores import Database, postgres_accepted, postgres_effects
from tests.conftest import ON_POSTGRES
from tests.postgres import Postgres

pytestmark = pytest.mark.chaos
sqlite = pytest.mark.skipif(ON_POSTGRES, reason="of SQLite's file")
postgres = pytest.mark.skipif(not ON_POSTGRES, reason="of PostgreSQL: tox -e postgres")
JOB = post("/process-data", json={"n": "{n}"}, every="80ms", count=6)
#: Some jobs before the fault, and some during it.
JOBS = (JOB, replace(JOB, count=12).on(event("fault-start", "nemesis")))
#: An honest answer in time: a transaction waits for its predecessor, then for the lock.
HONEST = answers({202, 503}, within=f"{2 * WAIT_SECONDS + 2}s", path="/process-data")
ACCEPTED = answers({202}, within="4s", path="/process-data")


@pytest.fixture
def application(application: Application) -> Application:
    if not ON_POSTGRES:
        return application
    return replace(application, accepted=postgres_accepted, effects=postgres_effects)


@pytest.fixture
def bench(lab: Lab, request: pytest.FixtureRequest) -> Lab:
    """The lab, with a database of its own for each trial where the store is PostgreSQL."""
    if ON_POSTGRES:
        server: Postgres = request.getfixturevalue("postgres_server")
        make: Callable[[], AbstractContextManager[object]] = lambda: Database(server)  # noqa: E731
        lab.services(store=make)
    configure(lab)
    return lab


def configure(bench: Lab, **env: str) -> None:
    """Set variables of the subject's environment, beside the one that says where its store is."""
    bench.topology(env=({"SYSTEM_DATABASE_URL": "{store}"} if ON_POSTGRES else {}) | env)


def holds(bench: Lab, *more: Promise) -> History:
    """Nothing that was accepted is lost, and no status is untrue."""
    bench.promise(*jobs_end_once(), *more)
    outcome = bench.run()
    outcome.must_hold()
    return outcome.result.history


def during(history: History, kind: str) -> int:
    """How many events of this kind there were while the fault lasted."""
    (begin, *_), (end, *_) = history.kind("fault-start"), history.kind("fault-stop")
    return sum(begin.at < each.at < end.at for each in history.kind(kind))


def test_the_write_lock_is_held_for_less_than_anybody_waits(bench: Lab) -> None:
    """All that write wait, and nobody is refused."""
    bench.load(*JOBS)
    bench.inject(locked(), on="store", when=started(nth=3), heal=after("2s"))
    history = holds(bench, ACCEPTED)
    assert during(history, "invoke") > 0
    assert during(history, "ok") == 0, "nobody is told of a commit that was not made"


def test_the_write_lock_is_held_for_longer(bench: Lab) -> None:
    """Submissions are refused honestly; jobs that run meanwhile are done again, and count once."""
    bench.load(*JOBS)
    bench.inject(locked(), on="store", when=started(nth=3), heal=after(WAIT_SECONDS + 3))
    history = holds(bench, HONEST)
    assert during(history, "info") > 0, "a 503 leaves it open whether there is a job"


def test_each_commit_is_slow(bench: Lab) -> None:
    bench.load(*JOBS)
    bench.inject(slow_commits(), on="store", when=started(nth=3), heal=after("3s"))
    holds(bench, ACCEPTED)


@sqlite
def test_the_disk_is_full(bench: Lab) -> None:
    """A write that fails leaves nothing behind: what was refused is in no table, and what was accepted is whole."""
    bench.load(*JOBS)
    bench.inject(full_disk(), on="store", when=started(nth=3), heal=after("3s"))
    history = holds(bench, HONEST)
    assert during(history, "info") > 0, "a 503 leaves it open whether there is a job"


@pytest.mark.parametrize("role", ["api", "worker-1"])
def test_a_process_is_stopped_in_its_transaction(bench: Lab, role: str) -> None:
    """On SQLite it holds the lock of all. On PostgreSQL the server ends its transaction, and nobody else waits."""
    bench.workers(2)
    # A transaction of the API takes a few milliseconds: the fault needs many of them to meet one.
    many = (replace(JOB, count=80, every=0.05),) if role == "api" else ()
    bench.load(*JOBS, *many)
    bench.inject(stop_in_transaction(), on=role, when=started(nth=3), heal=after(WAIT_SECONDS + 2))
    others = role != "api" and ON_POSTGRES
    holds(bench, ACCEPTED if others else HONEST)


def test_two_deliveries_of_a_job_end_at_the_same_moment(bench: Lab) -> None:
    """The fifth job's message is sent twice while both workers are busy. Then they do it side by side, and a lock keeps
    both when they want to end it: whoever comes second must see what the first has done."""
    limits = {"SYSTEM_SOFT_TIME_LIMIT": "6", "SYSTEM_TIME_LIMIT": "7", "SYSTEM_VISIBILITY_TIMEOUT": "10"}
    configure(bench, SYSTEM_PACE="0.3", **limits)  # 1.5 s each
    bench.workers(2)
    bench.load(*few_at_once(JOB, 5))
    bench.inject(cut(), when=point("api->broker", "LPUSH", nth=5, moment="after"))
    bench.inject(locked(), on="store", when=started(nth=6, delay="700ms"), heal=after("2s"))
    history = holds(bench)
    ends = [each.task for each in history.kind("ended") if each.data["state"] == "SUCCESS"]
    assert len(ends) > len(set(ends)), "both workers came to the end of one job"


@postgres
@pytest.mark.parametrize("fault", [refuse_store(), end_store(), no_connections()], ids=str)
def test_the_server_is_away(bench: Lab, fault: Fault) -> None:
    bench.load(*JOBS)
    bench.inject(fault, on="store", when=started(nth=3), heal=after("3s"))
    holds(bench, HONEST)


@postgres
def test_the_server_is_silent(bench: Lab) -> None:
    """For longer than anybody waits for an answer. The server's own time-outs do not reach through a black hole."""
    bench.load(*JOBS)
    bench.inject(blackhole_store(), on="store", when=started(nth=3), heal=after(3 * WAIT_SECONDS))
    history = holds(bench, HONEST)
    assert during(history, "info") > 0, "requests are answered while it lasts"


def test_a_publish_is_cut_while_the_store_is_locked(bench: Lab) -> None:
    """The message may be in Redis, and its note can't be written: the relay may send it again, and it counts once."""
    bench.load(*few_at_once(JOB, 12))
    bench.inject(locked(), on="store", when=started(nth=3), heal=after("2s"))
    bench.inject(cut(), when=point("api->broker", "LPUSH", nth=5, moment="after"))
    bench.promise(at_least_once(within=bound()))
    holds(bench)
