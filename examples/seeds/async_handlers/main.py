import asyncio
import time
from typing import Any

from celery import Celery
from fastapi import FastAPI

from examples.seeds.environment import BROKER_URL, effect, work_seconds

app = FastAPI()
celery = Celery("tasks", broker=BROKER_URL)


async def some_async_function() -> None:
    await asyncio.sleep(work_seconds(2))


@celery.task
def long_running_task() -> str:
    time.sleep(work_seconds(5))
    effect("long_running_task", None)
    return "Task completed"


@celery.task
def process_data(data: dict[str, Any]) -> str:
    time.sleep(work_seconds(5))
    effect("process_data", data.get("key"))
    return "Processed"


@app.get("/example")
async def example_handler() -> dict[str, str]:
    await some_async_function()
    return {"message": "Done"}


@app.post("/start-task")
def start_task() -> dict[str, str]:
    long_running_task.delay()
    return {"message": "Task started"}


@app.post("/process")
async def process_endpoint(data: dict[str, Any]) -> dict[str, str]:
    process_data.delay(data)
    return {"message": "Task queued"}
