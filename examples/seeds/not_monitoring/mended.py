import time
from typing import Any

import redis
from celery import Celery
from fastapi import Depends, FastAPI, HTTPException

from examples.seeds.environment import BROKER_URL, backlog_limit, effect, work_seconds

app = FastAPI()
celery = Celery("tasks", broker=BROKER_URL)
broker = redis.Redis.from_url(BROKER_URL, socket_timeout=2, socket_connect_timeout=2)


@celery.task
def process_data(data: dict[str, Any]) -> str:
    time.sleep(work_seconds(5))
    effect("process_data", data["key"])
    return "Processed"


def watch_backlog() -> None:
    try:
        waiting = broker.llen("celery")
    except redis.RedisError as error:
        raise HTTPException(503, "the broker does not answer") from error
    if waiting >= backlog_limit():
        raise HTTPException(503, f"{waiting} tasks are waiting", headers={"Retry-After": "1"})


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


@app.get("/health-check", dependencies=[Depends(watch_backlog)])
def health_check() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/process", dependencies=[Depends(watch_backlog)])
def process_endpoint(data: dict[str, Any]) -> dict[str, str]:
    process_data.delay(data)
    return {"message": "Task queued"}
