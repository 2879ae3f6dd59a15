import time
from typing import Any

from celery import Celery
from fastapi import FastAPI

from examples.seeds.environment import BROKER_URL, call_service, effect, work_seconds

app = FastAPI()
celery = Celery("tasks", broker=BROKER_URL)


@celery.task(autoretry_for=(OSError,), retry_backoff=True, retry_jitter=False, max_retries=5)
def process_data(data: dict[str, Any]) -> str:
    time.sleep(work_seconds(5))
    call_service(data["key"])
    effect("process_data", data["key"])
    return "Processed"


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


@app.post("/process")
def process_endpoint(data: dict[str, Any]) -> dict[str, str]:
    process_data.delay(data)
    return {"message": "Task queued"}
