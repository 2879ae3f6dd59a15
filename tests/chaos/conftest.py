"""The reference system as the application under test, with times short enough for a test and long enough to be true."""

import os
from collections.abc import Mapping
from dataclasses import replace
from unittest import mock

import pytest

from brownout import event
from brownout.history.effects import sqlite_accepted, sqlite_effects, sqlite_rows
from brownout.plan.operation import Load
from brownout.run.turns import most_at_once
from brownout.subject.application import Application
from brownout.subject.cpus import usable_cpus
from system.intake import FEW
from system.settings import Settings
from system.watchdog import EXIT_CODE

SETTINGS = {
    "SYSTEM_BROKER_URL": "{broker}",
    "SYSTEM_RESULT_URL": "{backend}",
    "SYSTEM_DATABASE": "{files}/system.db",
    "SYSTEM_PACE": "0.03",  # the documents' five seconds become 0.15
    "SYSTEM_BROKER_TIMEOUT": "1",
    "SYSTEM_VISIBILITY_TIMEOUT": "6",
    "SYSTEM_SOFT_TIME_LIMIT": "2",
    "SYSTEM_TIME_LIMIT": "3",
    "SYSTEM_BACKOFF_MAX": "2",
    "SYSTEM_QUEUE_PATIENCE": "3",
    "SYSTEM_WEDGE_SECONDS": "3",
}


#: What the report of a failure says of a job: its row, and its outbox entry, which is gone when the job is finished.
ROWS = """
    SELECT id, state, attempts, starts, publishes AS "outbox.publishes",
           CASE WHEN late > 0 THEN late || ' s overdue' ELSE 'due in ' || -late || ' s' END AS "outbox"
    FROM jobs LEFT JOIN
         (SELECT *, ROUND((julianday('now') - 2440587.5) * 86400 - due, 1) AS late FROM outbox) ON job_id = id
"""


def settings(given: Mapping[str, str] = SETTINGS) -> Settings:
    """The settings that the system's processes have, for bounds that follow from them."""
    fixed = {name: value for name, value in given.items() if "{" not in value}
    with mock.patch.dict(os.environ, fixed):
        return Settings(_env_file=None)


def recovery_bound(given: Mapping[str, str] = SETTINGS) -> float:
    """Seconds after which a job that is nowhere is published again: the longest lease, and the relay's own steps.

    A run's lease is the longest; the publisher may have taken the outbox entry just before, and an entry that was
    published twice waits twice as long. The relay looks at a job that may wait in a long queue
    after twice the time that it has waited; no scenario with such a queue also loses it.
    """
    the = settings(given)
    return max(the.run_lease, 2 * the.queue_patience) + the.publish_lease + the.relay_interval


def system(env: Mapping[str, str] = SETTINGS) -> Application:
    """The system with these settings."""
    return Application(
        celery="system.worker",
        api="system.main:app",
        relay=("system.relay",),
        env=env,
        queues=("celery", "cpu"),
        ready="/health-check/ready",
        status="/task-status/{task}",
        recovery=recovery_bound(env),
        steps_down=(EXIT_CODE,),
        settings="system.settings:get_settings",
        polls=("LLEN .*", "LRANGE .*"),  # the watchdog, and the relay when a job is late
        monitors=("api",),
        effects=sqlite_effects("system.db", "SELECT id, key, name, at FROM effects WHERE id > ? ORDER BY id"),
        accepted=sqlite_accepted(
            "system.db", "SELECT rowid, key, id, accepted_at FROM jobs WHERE rowid > ? ORDER BY rowid"
        ),
        rows=sqlite_rows("system.db", ROWS),
    )


def few_at_once(load: Load, count: int) -> tuple[Load, ...]:
    """`count` submissions, of which so few wait for one commit that the API publishes them all (`system.intake.FEW`).

    On a slow disk more of them would share a transaction. The API leaves those to the relay, and a fault at the API's
    n-th publish would never be injected.
    """
    first, *later = [replace(load, count=min(FEW, count - done)) for done in range(0, count, FEW)]
    return (first, *(more.on(event("accepted", "store", nth=FEW * n)) for n, more in enumerate(later, start=1)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Enough processes for all trials that an idle machine can run at once; on a busy one they wait for their turn."""
    return most_at_once(usable_cpus())


@pytest.fixture(scope="session")
def application() -> Application:
    return system()
