"""What most people begin with: `task.delay()` in an `async def` handler. The measure for
benchmarks/submissions.py and benchmarks/jobs.py."""

import os
from typing import Any

from celery import Celery
from fastapi import FastAPI

app = FastAPI()
celery = Celery("plain", broker=os.environ["BROKER_URL"], backend=os.environ.get("RESULT_URL"))
celery.conf.task_acks_late = True  # else a dead worker takes its tasks along


@celery.task
def process_data(data: dict[str, Any]) -> dict[str, Any]:
    """The documents' task without its pretended work."""
    return data


@app.post("/process-data", status_code=202)
async def process(data: dict[str, Any]) -> dict[str, str]:
    """Answers when Redis has the message."""
    return {"task_id": process_data.delay(data).id}
