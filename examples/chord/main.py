from celery import chord
from fastapi import FastAPI
from pydantic import BaseModel
from tasks import app as celery
from tasks import square, total

app = FastAPI()


class Numbers(BaseModel):
    numbers: list[int]


@app.post("/sums", status_code=202)
def create(body: Numbers) -> dict[str, str]:
    result = chord(square.s(number) for number in body.numbers)(total.s())
    return {"task_id": result.id}


@app.get("/sums/{task_id}")
def read(task_id: str) -> dict[str, object]:
    result = celery.AsyncResult(task_id)
    return {"status": result.status, "result": result.result if result.successful() else None}
