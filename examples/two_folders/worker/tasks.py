import os
import time
from pathlib import Path

from celery import Celery

app = Celery(
    "worker",
    broker=os.getenv("CELERY_BROKER_URL", "redis://redis:6379/0"),
    backend=os.getenv("CELERY_RESULT_BACKEND", "redis://redis:6379/0"),
)
TEMPLATE = Path("template.txt").read_text()


@app.task(name="reports.build")
def build(month: int) -> str:
    time.sleep(0.2)
    return TEMPLATE.format(month=month)
