"""The reference system as a subject of fault maps: `brownout map --experiment tests.chaos.experiments:http`.

`task` sends a task by its name, past the API and the store. Celery's settings and the effect's key are all it has then.
"""

from pathlib import Path

from brownout.explore.experiment import OWN, WORKLOADS, Experiment, Workload
from brownout.plan.operation import Http
from tests.chaos.conftest import SETTINGS, system

ROOT = Path(__file__).parents[2]
SHORT = SETTINGS | {
    "SYSTEM_SOFT_TIME_LIMIT": "0.8",
    "SYSTEM_TIME_LIMIT": "1",
    "SYSTEM_BACKOFF_MAX": "1",
    "SYSTEM_VISIBILITY_TIMEOUT": "3",
    "SYSTEM_QUEUE_PATIENCE": "2",
}
http = Experiment(
    system(SHORT),
    ROOT,
    OWN,
    Workload("http", "a request to the API, and its job", http=Http("POST", "/process-data", {"n": 1})),
    "system.process_data",
)
task = Experiment(system(SHORT), ROOT, OWN, WORKLOADS["task"], "system.divide", (1, 2))
