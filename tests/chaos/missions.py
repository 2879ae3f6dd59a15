"""The reference system as a subject of fault maps: `brownout map --mission tests.chaos.missions:http`."""

from pathlib import Path

from brownout.explore.mission import OWN, Mission, Workload
from brownout.history.effects import sqlite_effects
from brownout.plan.operation import Http
from brownout.subject.application import Application
from system.watchdog import EXIT_CODE
from tests.chaos.conftest import SETTINGS, recovery_bound

ROOT = Path(__file__).parents[2]
SHORT = SETTINGS | {
    "SYSTEM_SOFT_TIME_LIMIT": "0.8",
    "SYSTEM_TIME_LIMIT": "1",
    "SYSTEM_BACKOFF_MAX": "1",
    "SYSTEM_VISIBILITY_TIMEOUT": "3",
    "SYSTEM_QUEUE_PATIENCE": "2",
}
SYSTEM = Application(
    celery="system.worker",
    api="system.main:app",
    relay=("system.relay",),
    env=SHORT,
    queues=("celery", "cpu"),
    ready="/health-check/ready",
    status="/task-status/{task}",
    recovery=recovery_bound(SHORT),
    steps_down=(EXIT_CODE,),
    effects=sqlite_effects("system.db", "SELECT id, key, name, at FROM effects WHERE id > ? ORDER BY id"),
)
http = Mission(
    SYSTEM,
    ROOT,
    OWN,
    Workload("http", "a request to the API, and its job", http=Http("POST", "/process-data", {"n": 1})),
    "system.process_data",
)
