from typing import Any

from celery import Celery
from fastapi import FastAPI

from examples.seeds.environment import BROKER_URL, compute, effect

app = FastAPI()
celery = Celery("tasks", broker=BROKER_URL)


@celery.task
def process_data(data: dict[str, Any]) -> int:
    number = compute(5)
    effect("process_data", data["key"])
    return number


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


@app.post("/process")
async def process_endpoint(data: dict[str, Any]) -> dict[str, str]:
    process_data(data)
    return {"message": "Task queued"}
