import time
from typing import Any

from celery import Celery
from fastapi import FastAPI

from examples.seeds.environment import BROKER_URL, RESULT_URL, effect, work_seconds

app = FastAPI()
celery = Celery("tasks", broker=BROKER_URL, backend=RESULT_URL)


@celery.task(ignore_result=True)
def process_data(data: dict[str, Any]) -> str:
    time.sleep(work_seconds(5))
    effect("process_data", data["key"])
    return "Processed"


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


@app.post("/process-data")
def process_data_endpoint(data: dict[str, Any]) -> dict[str, str]:
    task = process_data.delay(data)
    return {"task_id": task.id, "message": "Data processing task submitted"}


@app.get("/task-status/{task_id}")
def get_task_status(task_id: str) -> dict[str, str]:
    task_result = process_data.AsyncResult(task_id)
    return {"task_id": task_id, "task_status": task_result.status, "task_result": str(task_result.result)}
