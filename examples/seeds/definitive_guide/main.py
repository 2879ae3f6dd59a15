import time

from celery import Celery
from fastapi import FastAPI

from examples.seeds.environment import BROKER_URL, RESULT_URL, effect, work_seconds

app = FastAPI()
celery = Celery("worker", broker=BROKER_URL, backend=RESULT_URL)


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


@celery.task
def divide(x: float, y: float) -> float:
    time.sleep(work_seconds(5))
    quotient = x / y
    effect("divide", None)
    return quotient
