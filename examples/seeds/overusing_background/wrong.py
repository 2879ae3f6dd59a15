import time
from typing import Any

from celery import Celery
from fastapi import BackgroundTasks, FastAPI

from examples.seeds.environment import BROKER_URL, effect, work_seconds

app = FastAPI()
celery = Celery("tasks", broker=BROKER_URL)


@celery.task
def process_data(data: dict[str, Any]) -> str:
    time.sleep(work_seconds(5))
    effect("process_data", data["key"])
    return "Processed"


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


@app.post("/process")
def process_endpoint(data: dict[str, Any], background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(process_data, data)
    return {"message": "Task queued"}
