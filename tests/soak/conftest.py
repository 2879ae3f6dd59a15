"""The soak: the reference system, on SQLite or (BROWNOUT_STORE=postgres) on PostgreSQL, and how many jobs it gets."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest

from brownout import Application, Lab, Promise, nothing_leaks, post
from brownout.plan.seed import stream
from tests.chaos.conftest import SETTINGS, system
from tests.chaos.stores import Database, postgres_accepted, postgres_effects
from tests.conftest import ON_POSTGRES
from tests.postgres import Postgres
from tests.soak.mix import losses, mixed

JOBS = int(os.environ.get("BROWNOUT_SOAK_JOBS", "2000"))
EVERY = float(os.environ.get("BROWNOUT_SOAK_EVERY", "0.045"))  # s between two submissions
SPARE = 1.25  # submissions for each job: those that are refused while the API or the store is away are no jobs
#: The work takes 10 ms, and what is cut off by a fault may be repeated often: no job of the soak is poison.
QUICK = SETTINGS | {"SYSTEM_PACE": "0.002", "SYSTEM_MAX_STARTS": "1000"}

LIFE = "20s"  # an API that the mix ends no more lives for longer


def api_keeps_nothing() -> Promise:
    """The API does not grow while it works; 1 kB for each request is too much."""
    return nothing_leaks(megabytes=3, lasting=LIFE, of="api")


def nothing_kept() -> tuple[Promise, ...]:
    """Also the other processes hold no more and more.

    The bound on memory is wide, because a pool process keeps about 130 kB for each exception of a task until Python's
    next full collection: billiard 4.3 copies `co_positions` of each frame, and the copies are in a cycle.
    """
    return (api_keeps_nothing(), nothing_leaks(megabytes=400, lasting=LIFE))


@pytest.fixture
def application(request: pytest.FixtureRequest) -> Application:
    """The system; a test may put other parts in by `parametrize`, `indirect`."""
    application = replace(system(QUICK), **getattr(request, "param", {}))
    if not ON_POSTGRES:
        return application
    return replace(application, accepted=postgres_accepted, effects=postgres_effects, rows=None)


@pytest.fixture
def soak(lab: Lab, request: pytest.FixtureRequest) -> Callable[..., Lab]:
    """Makes the plan of a soak: so many jobs, the mix of faults, and the messages that the wire loses."""

    def make(jobs: int = JOBS, *, relay: bool = True) -> Lab:
        env: dict[str, Any] = {}
        if ON_POSTGRES:
            server: Postgres = request.getfixturevalue("postgres_server")
            database: Callable[[], AbstractContextManager[object]] = lambda: Database(server)  # noqa: E731
            lab.services(store=database)
            env["SYSTEM_DATABASE_URL"] = "{store}"
        lab.topology(env=env, relay=relay)
        lab.workers(2, restarts=200)
        lab.load(post("/process-data", json={"n": "{n}"}, every=EVERY, count=round(jobs * SPARE)))
        chance = stream(lab.plan.seed, "soak")
        faults = [*mixed(jobs, chance, postgres=ON_POSTGRES, relay=relay), *losses(jobs, chance)]
        lab.plan = replace(lab.plan, injections=tuple(faults))
        lab.drain("120s")
        reporter = request.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"soak: {jobs} jobs, {len(faults)} faults, seed {lab.plan.seed}, plan {lab.plan.id}")
        return lab

    return make
