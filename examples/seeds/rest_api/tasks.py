import time
from typing import Any

from celery import Celery

from examples.seeds.environment import BROKER_URL, RESULT_URL, effect, work_seconds

celery = Celery("tasks", broker=BROKER_URL, backend=RESULT_URL)


@celery.task
def process_data(data: dict[str, Any]) -> dict[str, str]:
    time.sleep(work_seconds(5))
    effect("process_data", data.get("key"))
    return {"status": "completed", "result": "processed"}
