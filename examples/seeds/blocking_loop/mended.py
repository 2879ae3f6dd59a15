import asyncio
import time
from typing import Any

from celery import Celery
from fastapi import FastAPI, HTTPException
from kombu.exceptions import OperationalError

from examples.seeds.environment import BROKER_URL, effect, work_seconds

app = FastAPI()
celery = Celery("tasks", broker=BROKER_URL)
celery.conf.broker_transport_options = {"socket_timeout": 1, "socket_connect_timeout": 1}


@celery.task
def process_data(data: dict[str, Any]) -> str:
    time.sleep(work_seconds(5))
    effect("process_data", data["key"])
    return "Processed"


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


@app.post("/process")
async def process_endpoint(data: dict[str, Any]) -> dict[str, str]:
    try:
        await asyncio.to_thread(process_data.delay, data)
    except OperationalError as error:
        raise HTTPException(503, "the broker does not answer") from error
    return {"message": "Task queued"}
