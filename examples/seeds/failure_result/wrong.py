import time
from typing import Any

from celery import Celery
from fastapi import FastAPI

from examples.seeds.environment import BROKER_URL, RESULT_URL, effect, work_seconds

app = FastAPI()
celery = Celery("tasks", broker=BROKER_URL, backend=RESULT_URL)


@celery.task
def divide(data: dict[str, Any]) -> float:
    time.sleep(work_seconds(5))
    effect("divide", data["key"])
    return float(data["x"] / data["y"])


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


@app.post("/divide")
def divide_endpoint(data: dict[str, Any]) -> dict[str, str]:
    task = divide.delay(data)
    return {"task_id": task.id, "message": "Data processing task submitted"}


@app.get("/task-status/{task_id}")
def get_task_status(task_id: str) -> dict[str, Any]:
    task_result = divide.AsyncResult(task_id)
    status, result = task_result.status, task_result.result
    return {"task_id": task_id, "task_status": status, "task_result": result}
