import os

from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel

queue = Celery(
    "api",
    broker=os.getenv("CELERY_BROKER_URL", "redis://redis:6379/0"),
    backend=os.getenv("CELERY_RESULT_BACKEND", "redis://redis:6379/0"),
)
app = FastAPI()


class Report(BaseModel):
    month: int
    title: str | None = None


@app.post("/reports", status_code=202)
def create(report: Report) -> dict[str, str]:
    return {"id": queue.send_task("reports.build", args=[report.month]).id}


@app.get("/reports/{report_id}")
def read(report_id: str) -> dict[str, str]:
    return {"state": queue.AsyncResult(report_id).state}
