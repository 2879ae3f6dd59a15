import time
from typing import Any

from celery import Celery
from fastapi import FastAPI

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


@app.get("/health-check")
def health_check() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/process")
def process_endpoint(data: dict[str, Any]) -> dict[str, str]:
    process_data.delay(data)
    return {"message": "Task queued"}
